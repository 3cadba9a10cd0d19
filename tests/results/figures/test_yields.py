"""The yields figure: every image that is not there is named."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.core.records import Counts, RunRecord
from bench.core.specs import RunSpec
from results.figures.yields import steps
from tests.support.drawing import drawn
from tests.support.layout import problems, words
from tests.support.records import write_run

RETRIEVED: dict[str, Any] = {
    "rows": 30_000, "naming a class": 8_222, "no web URL": 0, "ambiguous": 221,
    "ambiguous, dropped": 49, "flagged NSFW or UNSURE": 430, "incomplete": [],
    "matched": 7_743, "fetched": 7_103,
    "failed": {"http 404": 318, "not an image": 155, "http 403": 87, "http 500": 80},
    "decodable": 7_100, "below tau": 1_325,
    "duplicates": {
        "copies of val or test images": 82, "equal bytes": 97, "near copies": 79,
        "copies of train images": 2, "descriptor": "a hash; copies of train images stay",
    },
    "kept": 5_517, "classes": {},
}  # fmt: skip
SYNTHETIC: dict[str, Any] = {
    "matched": 2_560, "fetched": 2_550, "failed": {"black": 10}, "filtered": 40,
    "duplicates": {"copies of val or test images": 0, "equal bytes": 10, "near copies": 0},
    "kept": 2_500,
}  # fmt: skip


def record(counts: dict[str, Any], used: int, **changes: Any) -> RunRecord:
    n = {name: counts[name] for name in ("matched", "fetched", "kept")}
    spec = RunSpec(preset="mini", task="t", source="s", options={}, n=used, model="m")
    made = RunRecord(
        run_id="r", status="done", spec=spec, n=Counts(asked=used, used=used, **n), image_set="",
        stage_counts=counts,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def test_the_steps_of_retrieval_add_up() -> None:
    named, matched, fetched, kept, used = steps(record(RETRIEVED, 2_560))
    assert (named.name, named.left) == ("captions naming a class", 8_222)
    assert matched.lost == {"flagged NSFW or UNSURE": 430, "ambiguous, dropped": 49}
    assert fetched.lost == {"http 404": 318, "not an image": 155, "http 403": 87, "http 500": 80}
    assert kept.lost == {
        "below tau": 1_325, "equal bytes": 97, "copies of val or test images": 82,
        "near copies": 79, "not decodable": 3,
    }  # fmt: skip
    assert used.lost == {"more than asked for": 2_957}


def test_copies_of_train_images_are_named_where_they_were_removed() -> None:
    descriptor = "a hash; copies of train images are removed"
    copies = RETRIEVED["duplicates"] | {"descriptor": descriptor}
    (*_, kept, _) = steps(record(RETRIEVED | {"duplicates": copies, "kept": 5_515}, 100))
    assert kept.lost["copies of train images"] == 2
    assert "not accounted for" not in kept.lost


def test_a_mixtures_losses_are_its_parts() -> None:
    sums = {name: RETRIEVED[name] + SYNTHETIC[name] for name in ("matched", "fetched", "kept")}
    counts = {"retrieved": RETRIEVED, "synthetic": SYNTHETIC, **sums}
    matched, fetched, kept, _ = steps(record(counts, 100))
    assert matched.left == 7_743 + 2_560
    assert fetched.lost["black"] == 10
    assert kept.lost["equal bytes"] == 107
    assert kept.lost["filtered"] == 40
    assert not any("not accounted for" in step.lost for step in (fetched, kept))


def test_of_denoised_images_the_inner_sources_counts_are_others() -> None:
    (_, fetched, kept, _) = steps(record(SYNTHETIC | {"retrieved": RETRIEVED}, 100))
    assert fetched.lost == {"black": 10}
    assert sum(kept.lost.values()) == 50


@given(counts=st.lists(st.integers(0, 10_000), min_size=4, max_size=4), failed=st.integers(0, 99))
def test_whatever_a_source_counts_the_steps_add_up(counts: list[int], failed: int) -> None:
    matched, fetched, kept, used = sorted(counts, reverse=True)
    found = steps(
        record(
            {"matched": matched, "fetched": fetched, "kept": kept, "failed": {"why": failed}}, used
        )
    )
    before = found[0].left
    for step in found[1:]:
        assert step.left == before - sum(step.lost.values())
        before = step.left
    assert before == used


def test_every_loss_is_written(home: Home) -> None:
    made = record(RETRIEVED, 2_560)
    write_run(home, "retrieved", 2_560, stage_counts=RETRIEVED)
    (path,) = home.runs.glob("*/record.json")
    whole = msgspec.json.decode(path.read_bytes(), type=RunRecord)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(whole, n=made.n)))
    shown = drawn(home, "yields")
    text = words(shown.figure)
    for written in ("captions naming a class 8,222", "fetched 7,103", "80 http 500",
                    "82 copies of val or test images", "used 2,560 of 2,560 asked for",
                    "\N{MINUS SIGN}2,957 more than asked for"):  # fmt: skip
        assert written in text
    assert not problems(shown.figure)


def test_no_image_is_nothing_to_draw(home: Home) -> None:
    write_run(home, "none", None)
    with pytest.raises(RequestError, match="no run with images"):
        drawn(home, "yields")
