"""Every figure has room for what it shows, in each look."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from bench.core.paths import Home
from results import figures
from results.drawing.look import LOOKS, Place
from tests.support.drawing import wanted
from tests.support.layout import problems
from tests.support.records import score, write_run

LONG = "\u98de\u673a" * 15 + " <b>$x_1$</b> & far too long a name for any column"
LAYOUTS: list[tuple[Place, bool]] = [
    ("paper", False), ("paper", True), ("slides", False), ("slides", True), ("report", False),
]  # fmt: skip
TIMINGS = {"source": 40.0, "load": 1.0, "adapt": 30.0, "evaluate": 5.0}


def write_study(home: Home, sizes: int, evaluators: int, folders: int) -> None:
    """Leave arms of several sizes, mixtures of them, and folders with long names."""
    names = ["linear-probe", "zero-shot", *(f"few-shot-{4**index}" for index in range(6))]
    arms: list[tuple[str, dict[str, Any], int]] = [
        ("retrieved", {}, 20),
        ("synthetic", {"generation": {"model": "tiny"}}, 10),
    ]
    arms += [("folder", {"path": f"/data/{index} {LONG}"}, 15) for index in range(folders)]
    arms += [
        ("mixed", {"parts": {"retrieved": share, "synthetic": 1 - share}}, 15)
        for share in (0.25, 0.5)
    ]
    for source, options, gain in arms:
        for index, seed in product(range(sizes), (0, 1)):
            right = 90 + gain * index // 2 + seed
            scores = [score("test", right / 200, name) for name in names[:evaluators]]
            counts = {"failed": {f"{LONG} {kind}": 20 for kind in range(10)}}
            write_run(
                home, source, 100 * 3**index, right=right, seed=seed, options=options,
                scores=[*scores, score("val", 0.5)], timings=TIMINGS, stage_counts=counts,
            )  # fmt: skip
    scores = [score("test", 0.4, name) for name in names[:evaluators]]
    write_run(home, "none", None, right=80, scores=scores)


def check(home: Home, layouts: list[tuple[Place, bool]]) -> None:
    names = [name for name in figures.names() if name not in {"scaling", "gap", "samples"}]
    assert len(names) == 6
    with wanted(home, price=2.5) as asked:
        for name, (place, wide) in product(names, layouts):
            drawn = figures.figure(name)(replace(asked, look=LOOKS[place], wide=wide))
            assert not problems(drawn.figure), (name, place, wide)


def test_nothing_is_cut_and_no_texts_overlap(home: Home) -> None:
    write_study(home, 3, 1, 1)
    check(home, [("paper", False)])


@pytest.mark.slow(minutes=2)
@pytest.mark.parametrize(("sizes", "evaluators", "folders"), [(3, 1, 0), (9, 2, 2), (4, 8, 4)])
def test_nothing_is_cut_in_larger_studies_either(
    home: Home, sizes: int, evaluators: int, folders: int
) -> None:
    write_study(home, sizes, evaluators, folders)
    check(home, LAYOUTS)
