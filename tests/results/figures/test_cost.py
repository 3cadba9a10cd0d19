"""The cost figure."""

import numpy as np
import pytest

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.core.specs import TrainSpec
from results.drawing.look import STYLES
from tests.support.drawing import drawn, lines
from tests.support.layout import problems, words
from tests.support.records import write_run

RUN = {"load": 10.0, "adapt": 600.0, "train": 500.0, "validate": 90.0, "evaluate": 50.0}
GENERATED = {"generation": {"model": "tiny"}}


def spent(home: Home, source: str) -> list[float]:
    """Return the filled marks' places, in the axis's unit."""
    (panel,) = drawn(home, "cost").figure.axes
    marks, colour = STYLES[source].marker, STYLES[source].colour
    return [
        float(x)
        for line, points in lines(panel)
        if (line.get_color(), line.get_marker(), line.get_linestyle()) == (colour, marks, "-")
        for x in points[:, 0]
    ]


def test_a_point_costs_its_run_and_its_images(home: Home) -> None:
    """Of a set that was there already, the run that made it says what it cost."""
    write_run(home, "retrieved", 100, timings={"source": 3_000.0, **RUN})
    write_run(home, "retrieved", 300, timings={"source": 0.5, **RUN})
    assert np.allclose(spent(home, "retrieved"), [(660 + 3_000) / 60] * 2)


def test_generated_images_cost_their_share_and_several_devices_their_number(home: Home) -> None:
    several = TrainSpec(nodes=2, gpus_per_node=4)
    write_run(home, "synthetic", 150, options=GENERATED, timings={"source": 4_000.0, **RUN})
    write_run(
        home, "synthetic", 600, options=GENERATED, timings={"source": 1.0, **RUN}, train=several
    )
    # The set has 600 images.
    assert np.allclose(spent(home, "synthetic"), [(660 + 1_000) / 3600, (8 * 660 + 4_000) / 3600])


def test_a_price_is_a_second_axis(home: Home) -> None:
    write_run(home, "retrieved", 100, timings={"source": 7_200.0, **RUN}, device="A100")
    shown = drawn(home, "cost", price=6.0)
    below, above = shown.figure.axes
    assert np.allclose(6.0 * np.array(below.get_xlim()), above.get_xlim())
    assert "$10" in words(shown.figure)
    assert "at $6 per hour of a device" in shown.caption
    assert "Measured on A100." in shown.caption
    assert not problems(shown.figure)


def test_labels_of_dollars_leave_room_for_each_other(home: Home) -> None:
    fast = {"load": 0.1, "adapt": 0.36, "evaluate": 0.1}
    write_run(home, "retrieved", 100, timings={"source": 0.0, **fast})
    slow = {"load": 10.0, "adapt": 36_000.0, "evaluate": 50.0}
    write_run(home, "retrieved", 900, timings={"source": 0.0, **slow})
    for place in ("paper", "slides", "report"):
        assert not problems(drawn(home, "cost", place, price=0.01).figure)


@pytest.mark.parametrize(
    ("price", "text"),
    [(2.5, "$2.50"), (6.0, "$6"), (1_200.0, "$1,200"), (0.005, "$0.005")],
)
def test_a_price_is_written_with_its_cents(home: Home, price: float, text: str) -> None:
    write_run(home, "retrieved", 100, timings={"source": 0.0, **RUN})
    assert f"at {text} per hour" in drawn(home, "cost", price=price).caption


def test_without_a_recorded_device_none_is_named(home: Home) -> None:
    write_run(home, "retrieved", 100, timings={"source": 0.0, **RUN}, device="")
    caption = drawn(home, "cost").caption
    assert "easured on" not in caption
    assert "Models were selected by linear-probe on validation data." in caption


def test_images_made_of_others_are_not_counted_and_that_is_said(home: Home) -> None:
    options = {"parts": {"retrieved": 0.5, "synthetic": 0.5}}
    write_run(home, "mixed", 100, options=options, timings={"source": 9_000.0, **RUN})
    assert spent(home, "mixed") == [11.0]
    assert "For mixed, the images are made of other arms' and not counted" in (
        drawn(home, "cost").caption
    )


def test_records_without_timings_are_nothing_to_draw(home: Home) -> None:
    write_run(home, "retrieved", 100)
    write_run(home, "none", None, timings=RUN)
    with pytest.raises(RequestError, match="no run with images says how long it took"):
        drawn(home, "cost")
