"""The scaling figure."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bench.core.errors import RequestError
from bench.core.paths import Home
from results.database import queries
from results.drawing.drawn import Drawn
from results.drawing.look import LOOKS, STYLES, Place
from results.drawing.wanted import Wanted
from results.figures.scaling import draw, scaling_figure
from tests.support.layout import EVALUATORS, LAYOUTS, PAPER, problems, texts, words
from tests.support.records import collected, score, write_run

MODEL = "CLIP-ViT-B-16-laion2B-s34B-b88K"
ARMS = (
    ("retrieved", "retrieved"),
    ("synthetic", "synthetic"),
    ("mixed 0.5:0.5", "mixed"),
    ("folder " + "photographs-of-my-own_" * 3, "folder"),
    ("folder " + "photographs-of-my-own_" * 3 + "b", "folder"),
    ("retrieved \u7532\u4e59\u4e19\u4e01" * 6, "retrieved"),
)


def means(sizes: int, arms: int, evaluators: int, **changes: Any) -> pd.DataFrame:
    """Return rows of the query, of made-up scores."""
    random = np.random.default_rng([sizes, arms, evaluators])
    rows = [
        {
            "evaluator": evaluator, "label": label, "source": source, "n_used": n,
            "n_used_min": n, "n_used_max": n, "n_kept": 300_000, "seeds": 3 if n else 1,
            "mean": mean, "seed_min": mean - 0.01, "seed_max": mean + 0.01,
            "test_low": mean - 0.02, "test_high": mean + 0.02, "trained_mean": mean - 0.01,
            "metric": "accuracy", "test_images": 3_333, "select_by": "linear-probe",
        } | changes
        for evaluator in EVALUATORS[:evaluators]
        for label, source, n in [
            ("none", "none", 0),
            *((*arm, n) for arm, n in product(ARMS[:arms], PAPER[-sizes:])),
        ]
        for mean in [0.5 + 0.2 * random.random() + (math.log(n) / 80 if n else 0.05)]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def figure_of(frame: pd.DataFrame, place: Place = "paper", *, wide: bool = False) -> Figure:
    return scaling_figure(frame, [], LOOKS[place], wide=wide)[1]


@contextmanager
def drawing(home: Home, place: Place = "paper", **more: Any) -> Iterator[Drawn]:
    with collected(home) as connection:
        (study,) = queries.experiments(connection)
        yield draw(Wanted(home, connection, study, LOOKS[place], **more))


def curves(panel: Axes, source: str) -> list[Line2D]:
    colour = STYLES[source].colour
    return [line for line in panel.get_lines() if line.get_color() == colour]


def points(line: Line2D) -> NDArray[np.float64]:
    return np.asarray(line.get_xydata(), np.float64)


@pytest.mark.parametrize(
    ("sizes", "arms", "evaluators"),
    [(1, 1, 1), (9, 2, 2), (7, 6, 1), (9, 6, 3), (2, 3, 8), (4, 1, 5)],
)
@pytest.mark.parametrize(("place", "wide"), LAYOUTS)
def test_everything_is_on_the_canvas_and_no_text_overlaps(
    sizes: int, arms: int, evaluators: int, place: Place, *, wide: bool
) -> None:
    assert not problems(figure_of(means(sizes, arms, evaluators), place, wide=wide))


@pytest.mark.slow(minutes=1)
@pytest.mark.parametrize(("place", "wide"), LAYOUTS)
@pytest.mark.parametrize("evaluators", range(1, 9))
def test_every_number_of_sizes_and_arms_has_room(
    evaluators: int, place: Place, *, wide: bool
) -> None:
    every = list(product(range(1, 10), range(1, 7)))
    # A paper's are all walked; of the others a third, another one for each number of evaluators.
    for sizes, arms in every if place == "paper" else every[evaluators % 3 :: 3]:
        figure = figure_of(means(sizes, arms, evaluators), place, wide=wide)
        assert not problems(figure), (sizes, arms)


@pytest.mark.parametrize("value", [0.0, 0.73, 1.0])
def test_equal_scores_have_room(value: float) -> None:
    same = dict.fromkeys(
        ("mean", "seed_min", "seed_max", "test_low", "test_high", "trained_mean"), value
    )
    assert not problems(figure_of(means(3, 4, 1, **same)))


@pytest.mark.parametrize(("place", "wide"), LAYOUTS)
def test_arms_without_the_unadapted_model_have_room(place: Place, *, wide: bool) -> None:
    frame = means(9, 2, 3)
    assert not problems(figure_of(frame[frame["label"] != "none"], place, wide=wide))


@pytest.mark.parametrize(("place", "wide"), LAYOUTS)
def test_long_names_of_evaluators_and_metrics_have_room(place: Place, *, wide: bool) -> None:
    frame = means(3, 2, 3, metric="mean-average-precision")
    options = " l2=0.0001 features=penultimate-layer-of-the-image-encoder standardise=true"
    figure = figure_of(frame.assign(evaluator=frame["evaluator"] + options), place, wide=wide)
    assert not problems(figure)
    assert "test mean average precision (%)" in " ".join(words(figure).split())


def test_equal_arms_are_both_seen(home: Home) -> None:
    for source, n in product(("retrieved", "synthetic"), (100, 1_000)):
        write_run(home, source, n)
    with drawing(home) as drawn:
        (panel,) = drawn.figure.axes
        left, right = (curves(panel, source)[0] for source in ("retrieved", "synthetic"))
        assert points(left)[:, 1].tolist() == points(right)[:, 1].tolist()
        pixels = [panel.transData.transform(points(line))[:, 0] for line in (left, right)]
        apart = (pixels[1] - pixels[0]) * 72 / drawn.figure.dpi
    # Points; a marker is 4.5 wide.
    assert (apart > 3.5).all()


def test_the_unadapted_model_is_a_gold_line_with_its_square_at_no_images(home: Home) -> None:
    write_run(home, "none", None, right=100)
    write_run(home, "synthetic", 100, right=120)
    with drawing(home) as drawn:
        (panel,) = drawn.figure.axes
        level = next(line for line in curves(panel, "none") if line.get_marker() == "None")
        square = next(line for line in curves(panel, "none") if line.get_marker() == "s")
        ticks = {
            text.get_text(): x
            for x, text in zip(panel.get_xticks(), panel.get_xticklabels(), strict=True)
        }
    assert set(points(level)[:, 1]) == {50.0}
    assert points(square).tolist() == [[pytest.approx(ticks["0"]), 50.0]]
    assert ticks["0"] < ticks["100"]


def test_the_unadapted_model_alone_is_shown(home: Home) -> None:
    write_run(home, "none", None)
    with drawing(home) as drawn:
        assert not problems(drawn.figure)
        assert "unadapted" in words(drawn.figure)
        assert "seeds" not in drawn.caption


def test_no_panel_is_of_the_unadapted_model_alone_beside_adapted_ones(home: Home) -> None:
    both = [score("test", 0.5, name) for name in ("linear-probe", "zero-shot")]
    write_run(home, "none", None, scores=both)
    write_run(home, "synthetic", 100, objective="simclr", scores=both[:1])
    with drawing(home) as drawn:
        assert len(drawn.figure.axes) == 1
        assert "linear-probe" in words(drawn.figure)


def test_harm_is_shown_as_harm_and_only_where_it_is(home: Home) -> None:
    write_run(home, "none", None, right=100)
    write_run(home, "retrieved", 100, right=120)
    with drawing(home) as drawn:
        assert "worse than unadapted" not in words(drawn.figure)
        assert "harm" not in drawn.caption
    write_run(home, "synthetic", 100, right=90)
    with drawing(home) as drawn:
        assert "worse than unadapted" in words(drawn.figure)
        assert "adapting did harm" in drawn.caption


def test_harm_that_selection_avoided_is_shown(home: Home) -> None:
    write_run(home, "none", None, right=100)
    write_run(home, "synthetic", 100, right=100, trained=60)
    with drawing(home) as drawn:
        assert "worse than unadapted" in words(drawn.figure)
        assert "Dotted: the best trained epoch" in drawn.caption
        (panel,) = drawn.figure.axes
        assert any(points(line)[:, 1].tolist() == [30.0] for line in curves(panel, "synthetic"))


def test_the_range_beyond_the_last_retrieved_image_is_named(home: Home) -> None:
    for source, n in (("retrieved", 100), ("synthetic", 100), ("synthetic", 1_000)):
        write_run(home, source, n, kept=600)
    with drawing(home) as drawn:
        assert "pool ends at 600" in words(drawn.figure)
        assert "no more than 600 retrieved images" in drawn.caption


def test_published_values_are_hollow_marks_beside_the_preset_paper_alone(home: Home) -> None:
    for n in (31_250, 250_000):
        write_run(home, "retrieved", n, preset="paper", task="aircraft", model=MODEL)
    with drawing(home) as drawn:
        (panel,) = drawn.figure.axes
        hollow = {
            (line.get_marker(), *points(line)[0].tolist())
            for line in panel.get_lines()
            if line.get_markerfacecolor() == "none"
        }
        assert ("o", 250_000.0, 83.5) in hollow
        assert ("^", 250_000.0, 68.8) in hollow
        first = "of CLIP ViT-B/16 of LAION-2B, fine-tuned; Geng 2024, section 4.1"
        assert f"published values ({first}; " in drawn.caption
        assert 'section 4.2; printed as "about 73"; an 80-fold difference' in drawn.caption
        # Those of zero-shot are in no panel here.
        assert drawn.caption.count("section 4.2") == 1
        assert not problems(drawn.figure)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "ViT-B-16-SigLIP2:webli"},
        {"objective": "clip"},
        {
            "scores": [score(split, 0.5, metric="mean-per-class") for split in ("val", "test")],
            "selection": {"metric": "mean-per-class"},
        },
    ],
)
def test_no_published_value_stands_beside_what_measured_otherwise(
    home: Home, changes: dict[str, Any]
) -> None:
    of_paper = {"preset": "paper", "task": "aircraft", "model": MODEL}
    write_run(home, "retrieved", 250_000, **of_paper | changes)
    with drawing(home) as drawn:
        assert "published values" not in drawn.caption


def test_no_published_value_stands_beside_a_miniature_result(home: Home) -> None:
    write_run(home, "retrieved", 250_000, task="aircraft")
    with drawing(home) as drawn:
        assert "published values" not in drawn.caption
        lines = drawn.figure.axes[0].get_lines()
        assert not [line for line in lines if line.get_markerfacecolor() == "none"]


def test_the_caption_says_what_is_shown(home: Home) -> None:
    for source, n, seed in product(("retrieved", "synthetic"), (100, 200), (0, 1)):
        write_run(home, source, n, seed=seed)
    with drawing(home) as drawn:
        caption = drawn.caption
    assert caption.startswith(
        "Test accuracy over the number of images used: mini-aircraft (preset mini, mini-clip, ce)"
    )
    for part in (
        "means over 2 seeds",
        "95 % intervals over 200 test images",
        "selected by linear-probe on validation data",
        "not comparable with published numbers",
    ):
        assert part in caption


def test_evaluators_are_shown_as_asked(home: Home) -> None:
    names = ("linear-probe", "zero-shot", "knn")
    write_run(home, "real", 100, scores=[score("test", 0.5, name) for name in names])
    with drawing(home, evaluators=("knn", "linear-probe")) as drawn:
        titles = [text.get_text() for text in drawn.figure.texts if text.get_text() in names]
    assert titles == ["knn", "linear-probe"]
    with (
        pytest.raises(RequestError, match="no finished run has test scores by few-shot"),
        drawing(home, evaluators=("few-shot",)),
    ):
        pass


@pytest.mark.parametrize(
    "name",
    [
        "\u822a\u7a7a\u6a5f",
        "\u082a \U0001f339\ufe0f",
        "\u0637\u0627\u0626\u0631\u0629",
        "a\x1b[31m",
        "$x_1$ <b> 5 %_",
    ],
)
def test_every_character_of_a_name_is_shown_without_a_warning(
    home: Home, name: str, recwarn: pytest.WarningsRecorder
) -> None:
    long = f"/data/{name}/{'far/' * 20}"
    write_run(home, "folder", 100, options={"path": f"/data/{name}"}, task=name)
    write_run(home, "folder", 100, options={"path": long}, task=name)
    with drawing(home) as drawn:
        for format_ in ("svg", "pdf", "png"):
            drawn.bytes_as(format_)
        assert not problems(drawn.figure)
        shown = words(drawn.figure) + drawn.caption
    assert not [str(each.message) for each in recwarn]
    # Its own characters, or their numbers, with a note.
    assert name in shown or ("shown by number" in shown and "\\u" in shown.lower())


def test_a_score_may_lie_on_its_own_limit_or_above_by_rounding(home: Home) -> None:
    perfect = score("test", 1.0)
    above = msgspec.structs.replace(perfect, ci_high=math.nextafter(1.0, 0.0))
    write_run(home, "real", 100, scores=[score("val", 1.0), above])
    with drawing(home) as drawn:
        assert not problems(drawn.figure)


def test_long_names_are_shortened_and_named_in_full_in_the_caption(home: Home) -> None:
    long = ["photographs_" * 5 + ending for ending in "ab"]
    for name in long:
        write_run(home, "folder", 100, options={"path": f"/data/{name}"})
    with drawing(home) as drawn:
        shown = [text.get_text().replace("\n", "") for text in texts(drawn.figure)]
    for letter, name in zip("AB", long, strict=True):
        assert [text for text in shown if text.startswith(f"{letter}: ") and "…" in text]
        assert f"{letter} is folder {name}" in drawn.caption


def test_a_metric_is_written_in_words() -> None:
    text = words(figure_of(means(2, 1, 1, metric="mean-per-class")))
    assert "test mean-per-class accuracy (%)" in " ".join(text.split())
