"""What lines and evaluators are called; arms are compared under one way of evaluating."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.records import RunRecord
from results import tables
from results.conclusions.conclusion import conclusions
from results.database import queries
from results.drawing.look import LOOKS
from results.drawing.wanted import Wanted
from results.figures.scaling import draw
from results.labels import evaluator_labels, labels
from results.pairs import paired_difference
from results.report.page import write_report
from tests.support.records import STUDY, collected, score, write_run

LBFGS: Json = {"features": "projection", "solver": "lbfgs"}
ADAMW: Json = {"features": "projection", "solver": "adamw"}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"options": {"path": "/a/x"}}, {"options": {"path": "/a/x"}, "lr": 1.0}, ["s", "s"]),
        ({"options": {"path": "/a/x"}}, {"options": {"path": "/a/y"}}, ["s x", "s y"]),
        (
            {"options": {"path": "/a/x"}}, {"options": {"path": "/b/x"}},
            ['s {"path":"/a/x"}', 's {"path":"/b/x"}'],
        ),
        ({"options": {"pool": "p"}}, {"options": {}}, ["s p", "s"]),
        ({"order": "balanced"}, {}, ["s balanced", "s random"]),
        (
            {"options": {"captions": {"writer": "grammar", "options": {}}}},
            {"options": {"captions": {"writer": "transformers", "options": {"model": "lab/llm"}}}},
            ["s grammar", "s llm transformers"],
        ),
        (
            {"options": {"parts": {"a": 1}, "options": {"a": {"pool": "p", "tau": 1}}}},
            {"options": {"parts": {"a": 1}, "options": {"a": {"pool": "q", "tau": 2}}}},
            ["s p", "s q"],
        ),
        # One mixture, written in two ways, and another.
        (
            {"options": {"parts": {"a": 0.3, "b": 0.7}}}, {"options": {"parts": {"a": 3, "b": 7}}},
            ["s", "s"],
        ),
        (
            {"options": {"parts": {"a": 1, "b": 1}}}, {"options": {"parts": {"a": 1, "b": 2}}},
            ["s 50 % a, 50 % b", "s 33.3 % a, 66.7 % b"],
        ),
        ({"options": {"parts": {"a": "x"}}}, {"options": {"parts": ["y"]}}, ["s x a", "s ['y']"]),
        (
            {"options": {"parts": {"b": 1, "a": 3}}}, {"options": {"parts": {"a": 0.5, "b": 0.5}}},
            ["s 75 % a, 25 % b", "s 50 % a, 50 % b"],
        ),
        (
            {"options": {"generation": {"guidance": 2.5}}},
            {"options": {"generation": {"guidance": 4.0}, "images_per_caption": 4}},
            ["s guidance=2.5 images_per_caption=1", "s guidance=4.0 images_per_caption=4"],
        ),
        # Records from before there was the option, and its default.
        ({"options": {}}, {"options": {"images_per_caption": 1, "fixes": []}}, ["s", "s"]),
        (
            {"options": {"fixes": []}}, {"options": {"fixes": ["backdrop", "view"]}},
            ["s fixes=nothing", "s fixes=backdrop+view"],
        ),
        (
            {"options": {}}, {"options": {"captions": True, "fixes": ["paint"]}},
            ["s captions=false fixes=nothing", "s captions=true fixes=paint"],
        ),
        (
            {"options": {"captions": {"writer": "file", "options": {"path": "/a/cc12m.csv"}}}},
            {"options": {"captions": {"writer": "file", "options": {"path": "/a/llm.csv"}}}},
            ["s cc12m.csv", "s llm.csv"],
        ),
        (
            {"options": {"captions": {"phrases": "mini"}}},
            {"options": {"captions": {"phrases": "mini", "concepts": "/a/synclr.yaml"}}},
            ["s", "s concepts=synclr.yaml"],
        ),
        (
            {"options": {"captions": {"kinds": {"class": 1, "relation": 0}}}},
            {"options": {"captions": {"kinds": {"class": 1, "relation": 1}}}},
            ["s 100 % class", "s 50 % class, 50 % relation"],
        ),
        (
            {"options": {"captions": {"kinds": {"class": 2, "relation": 0}}}},
            {"options": {"captions": {"kinds": {"class": 1}}}},
            ["s", "s"],
        ),
    ],
)  # fmt: skip
def test_labels_say_what_differs(
    home: Home, one: dict[str, Any], other: dict[str, Any], expected: list[str]
) -> None:
    runs = [write_run(home, "s", 100, seed=seed, **of) for seed, of in enumerate((one, other))]
    assert [labels(runs)[run.run_id] for run in runs] == expected


def test_an_arm_has_one_name_under_all_objectives(home: Home) -> None:
    guided = [{"generation": {"guidance": guidance}} for guidance in (2.5, 4.0)]
    runs = [write_run(home, "s", 100, options=options, objective="simclr") for options in guided]
    runs.append(write_run(home, "s", 100, options=guided[0], objective="ce"))
    named = labels(runs)
    assert named[runs[0].run_id] == named[runs[2].run_id] == "s guidance=2.5"
    assert named[runs[1].run_id] == "s guidance=4.0"


def probed(home: Home, source: str, options: Json, n: int = 100, **changes: Any) -> RunRecord:
    """Leave a run whose linear probe had some options."""
    return write_run(home, source, n, evaluators={"linear-probe": options}, **changes)


def write_evaluated(home: Home, source: str, *names: str) -> None:
    """Leave a run with equal scores by several evaluators."""
    scores = [score(split, 0.5, name) for name in names for split in ("val", "test")]
    n, right = (None, 100) if source == "none" else (100, 120)
    write_run(home, source, n, right, scores=scores, evaluators={name: {} for name in names})


def sentences(home: Home) -> list[str]:
    with collected(home) as connection:
        return conclusions(connection, STUDY)


def means(home: Home) -> pd.DataFrame:
    with collected(home) as connection:
        return queries.scaling(connection, STUDY)


def test_arms_are_compared_under_one_protocol(home: Home, tmp_path: Path) -> None:
    """The one that is better on val is another one in each arm."""
    probed(home, "retrieved", LBFGS, right=120, val=0.9)
    probed(home, "retrieved", ADAMW, right=60, val=0.1)
    probed(home, "synthetic", LBFGS, right=100, val=0.1)
    probed(home, "synthetic", ADAMW, right=80, val=0.9)
    names = ["linear-probe solver=adamw", "linear-probe solver=lbfgs"]
    with collected(home) as connection:
        selected = queries.selected_runs(connection, STUDY)
        pairs = [paired_difference(connection, STUDY, name, 100) for name in names]
        text = " ".join(conclusions(connection, STUDY))
    assert sorted(zip(selected["source"], selected["evaluator"], strict=True)) == [
        (source, name) for source in ("retrieved", "synthetic") for name in names
    ]
    assert set(selected["candidates"]) == {1}
    assert [pair and pair.estimate.value for pair in pairs] == pytest.approx([-0.1, 0.1])
    assert all(name in text for name in names)
    assert names[1] in write_report(home, tmp_path / "report").html.read_text()


def test_one_protocol_keeps_the_evaluators_name(home: Home) -> None:
    runs = [probed(home, "retrieved", ADAMW), probed(home, "synthetic", ADAMW)]
    # A run that failed was evaluated by nothing.
    runs.append(probed(home, "synthetic", LBFGS, seed=1, status="failed", scores=[]))
    assert evaluator_labels(runs) == {}


def test_parts_are_called_by_their_evaluators_options(home: Home) -> None:
    names = ("few-shot-1", "few-shot", "few-shot-text", "few-shotgun")
    scores = [score("test", 0.5, name) for name in names]
    expected, runs = {}, []
    for shots in (3, 5):
        evaluators = {"few-shot": {"shots": shots}, "few-shot-text": {}, "few-shotgun": {}}
        runs.append(write_run(home, "retrieved", 100, scores=scores, evaluators=evaluators))
        for name in ("few-shot", "few-shot-1"):
            expected[runs[-1].run_id, name] = f"{name} shots={shots}"
    assert evaluator_labels(runs) == expected


def test_a_protocol_that_one_arm_lacks_does_not_displace_the_headline(home: Home) -> None:
    probed(home, "retrieved", LBFGS, right=120)
    probed(home, "synthetic", LBFGS, right=80)
    probed(home, "synthetic", ADAMW, right=190)
    write_evaluated(home, "none", "knn")
    headline, missing, _ = sentences(home)
    assert "20.0 points higher than synthetic ones in linear-probe solver=lbfgs" in headline
    # Nor is a word lost on what evaluated neither.
    assert missing == "Retrieved images were not evaluated by linear-probe solver=adamw."


def test_a_protocol_without_a_common_n_does_not_displace_the_headline(home: Home) -> None:
    for source, n in (("retrieved", 100), ("synthetic", 200)):
        probed(home, source, LBFGS, right=120)
        probed(home, source, ADAMW, n, lr=1e-3)
    first, *_, last, _ = sentences(home)
    assert "at n = 100" in first
    assert "not evaluated at the same n by linear-probe solver=adamw" in last


def test_an_arm_has_one_row_however_it_was_evaluated(home: Home) -> None:
    for seed in (0, 1):
        probed(home, "retrieved", LBFGS, seed=seed)
    probed(home, "retrieved", ADAMW)
    assert tables.readable(means(home)).to_dict("records") == [
        {
            "source": "retrieved",
            "n used": "100",
            "seeds": "2",
            "linear-probe solver=adamw accuracy": "50.0 [43.0, 57.0] (seeds: 1)",
            "linear-probe solver=lbfgs accuracy": "50.0 ± 0.0 [43.0, 57.0]",
        }
    ]


FEW = tuple(f"few-shot-{shots}" for shots in (1, 2, 4, 8, 16))
ALL = ("linear-probe", "zero-shot", *FEW, "knn")


def test_evaluators_are_shown_the_papers_first_and_then_by_number(home: Home) -> None:
    for source in ("retrieved", "synthetic"):
        write_evaluated(home, source, *sorted(ALL))
    scaling = means(home)
    assert list(tables.readable(scaling))[3:] == [f"{name} accuracy" for name in ALL]
    headline, others, _ = sentences(home)
    assert " of linear-probe accuracy " in headline
    places = [others.index(f" {name} accuracy (") for name in ALL[1:]]
    assert places == sorted(places)
    with collected(home) as connection:
        figure = draw(Wanted(home, connection, STUDY, LOOKS["paper"], wide=True)).figure
    titles = [text.get_text() for text in figure.texts if text.get_text() in ALL]
    assert tuple(titles) == ALL
    boxes = [axes.get_position() for axes in figure.axes]
    assert len({round(box.x0, 3) for box in boxes}) == len({round(b.y0, 3) for b in boxes}) == 3


def test_per_class_scores_are_zero_shot_ones_shown_once(home: Home, tmp_path: Path) -> None:
    for source in ("none", "retrieved", "synthetic"):
        write_evaluated(home, source, "zero-shot", "per-class")
    assert set(means(home)["evaluator"]) == {"zero-shot"}
    assert not any("per-class" in sentence for sentence in sentences(home))
    page = write_report(home, tmp_path / "report").html.read_text()
    assert page.count("<li>retrieved images, n = 100, zero-shot, per-class: ") == 1
    alone = Home(tmp_path / "alone")
    write_evaluated(alone, "retrieved", "per-class")
    assert set(means(alone)["evaluator"]) == {"per-class"}
