"""What one figure is about: options of objectives and untrained networks are never mixed."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.specs import TrainSpec
from results import tables
from results.conclusions.conclusion import conclusions
from results.database import queries
from results.experiment import Experiment
from results.pairs import paired_difference
from results.published import published
from results.report.page import write_report
from tests.support.records import IMAGES, STUDY, collected, write_run

UNTRAINED = Experiment("mini", "mini-aircraft", "mini-clip from scratch", "ce")


def write_scratch(home: Home, source: str, n: int | None, right: int, **more: Any) -> None:
    train = TrainSpec(init="scratch", head_init="random")
    write_run(home, source, n, right, train=train, **more)


def write_simclr(home: Home, temperature: float, right: int, **more: Any) -> None:
    options = {"temperature": temperature, "hidden": 64}
    write_run(home, "synthetic", 100, right, objective="simclr", objective_options=options, **more)


def test_an_untrained_network_has_a_baseline_of_its_own(home: Home, tmp_path: Path) -> None:
    write_run(home, "none", None, 150)
    write_scratch(home, "none", None, 40)
    for seed in (0, 1):
        write_run(home, "retrieved", 100, 160, seed=seed)
        write_scratch(home, "retrieved", 100, 80, seed=seed)
    with collected(home) as connection:
        assert queries.experiments(connection) == [STUDY, UNTRAINED]
        means = {
            each: dict(queries.scaling(connection, each)[["label", "mean"]].to_numpy().tolist())
            for each in (STUDY, UNTRAINED)
        }
        gain = paired_difference(
            connection, UNTRAINED, "linear-probe", 100, a="retrieved", b="none"
        )
        said = " ".join(conclusions(connection, UNTRAINED))
        table = tables.Table.of(connection, UNTRAINED)
    assert means[STUDY] == {"none": 0.75, "retrieved": 0.8}
    assert means[UNTRAINED] == {"none": 0.2, "retrieved": 0.4}
    assert gain is not None
    assert gain.estimate.value == pytest.approx(0.2)
    assert "Without adaptation, linear-probe accuracy is 20.0 %" in said
    assert "mini-clip from scratch" in table.title
    assert set(table.means["init"]) == {"scratch"}
    page = write_report(home, tmp_path)
    assert "mini-clip from scratch" in page.html.read_text()
    assert len(page.plots) == 2


def test_without_a_baseline_of_its_own_an_untrained_network_has_none(home: Home) -> None:
    write_run(home, "none", None, 150)
    write_scratch(home, "retrieved", 100, 80)
    with collected(home) as connection:
        assert queries.scaling(connection, UNTRAINED)["label"].tolist() == ["retrieved"]


def test_another_seed_is_another_untrained_network(home: Home) -> None:
    for seed in range(3):
        write_scratch(home, "retrieved", 100, 80 + seed, seed=seed)
    write_scratch(home, "none", None, 40)
    with collected(home) as connection:
        one = paired_difference(connection, UNTRAINED, "linear-probe", 100, a="retrieved", b="none")
    for seed in (1, 2):
        write_scratch(home, "none", None, 40 + 10 * seed, seed=seed)
    with collected(home) as connection:
        three = paired_difference(
            connection, UNTRAINED, "linear-probe", 100, a="retrieved", b="none"
        )
    assert one is not None
    assert three is not None
    # One untrained network says nothing about others.
    assert (one.estimate.over_seeds, three.estimate.over_seeds) == (False, True)
    # Each is compared with the network that it began as.
    assert three.by_seed == pytest.approx([40 / IMAGES, 31 / IMAGES, 22 / IMAGES])


def test_validation_never_chooses_between_options_of_an_objective(home: Home) -> None:
    write_run(home, "none", None, 90)
    write_run(home, "synthetic", 100, 100)
    write_simclr(home, 0.1, right=110, val=0.9)
    write_simclr(home, 0.2, right=120, val=0.1)
    write_simclr(home, 0.2, right=60, val=0.05, lr=1e-3)
    with collected(home) as connection:
        found = {
            experiment.objective: queries.scaling(connection, experiment)
            for experiment in queries.experiments(connection)
        }
    assert {name: means["mean"].tolist() for name, means in found.items()} == {
        "ce": [0.45, 0.5],
        "simclr temperature=0.1": [0.45, 0.55],
        # Within an option, the learning rate is still chosen.
        "simclr temperature=0.2": [0.45, 0.6],
    }
    options = found["simclr temperature=0.2"]["objective_options"].tolist()
    assert options == ["{}", '{"hidden":64,"temperature":0.2}']


def test_each_row_of_an_ablation_has_the_learning_rate_that_its_own_runs_prefer(
    home: Home,
) -> None:
    for ibot, lr, seed in product((True, False), (1e-3, 1e-4), (0, 1)):
        write_run(
            home, "synthetic", 100, objective="synclr", objective_options={"ibot": ibot},
            val=0.7 if ibot == (lr == 1e-3) else 0.6, lr=lr, seed=seed,
        )  # fmt: skip
    with collected(home) as connection:
        found = {
            each.objective: queries.scaling(connection, each)[["setting", "seeds"]].to_numpy()
            for each in queries.experiments(connection)
        }
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "synclr ibot=false": [['{"train.lr":0.0001}', 2]],
        "synclr ibot=true": [['{"train.lr":0.001}', 2]],
    }


@pytest.mark.parametrize(
    "asked",
    [
        {"captions": {"writer": "grammar"}},
        {"captions": {"writer": "grammar", "phrases": "paper"}},
        {"captions": {"writer": "grammar", "kinds": {"class": 1, "relation": 1}}},
        {"captions": {"writer": "grammar", "concepts": "synclr"}},
        {"generation": {"guidance": 4.0}},
        {"images_per_caption": 4},
        {"fixes": ["paint"]},
        {"captions": True},
    ],
)
def test_validation_never_chooses_between_what_is_asked_about(home: Home, asked: Json) -> None:
    usual: Json = {"captions": {"writer": "transformers"}, "generation": {"guidance": 2.5}}
    write_run(home, "synthetic", 100, 120, options=usual, val=0.9)
    write_run(home, "synthetic", 100, 110, options=usual | asked, val=0.1, lr=1e-3)
    write_run(home, "synthetic", 100, 100, options=usual | asked, val=0.2)
    with collected(home) as connection:
        means = queries.scaling(connection, STUDY)
    assert sorted(means["mean"]) == [0.5, 0.6]
    assert means["label"].nunique() == 2


def test_options_that_no_runs_differ_in_are_not_in_the_name(home: Home) -> None:
    write_simclr(home, 0.1, right=110)
    # A baseline has no objective, whatever its spec says.
    write_run(home, "none", None, 90, objective="simclr", objective_options={"temperature": 0.7})
    with collected(home) as connection:
        (experiment,) = queries.experiments(connection)
        labels = queries.scaling(connection, experiment)["label"].tolist()
    assert experiment.objective == "simclr"
    assert labels == ["none", "synthetic"]


PAPERS = Experiment("paper", "aircraft", "CLIP-ViT-B-16-laion2B-s34B-b88K", "ce")


def test_published_numbers_stand_beside_what_they_were_measured_with() -> None:
    shown = {group.where for group, _ in published(PAPERS, "accuracy")}
    assert shown >= {"Geng 2024, section 4.1", "neural-priming, README.md, Zero-shot Results"}
    for other in ("ViT-B-16-SigLIP2:webli", f"{PAPERS.model} from scratch"):
        assert not published(PAPERS._replace(model=other), "accuracy")
    assert not published(PAPERS._replace(preset="mini"), "accuracy")
    # What was measured of the unadapted model is true whatever objective it meets later.
    by_clip = published(PAPERS._replace(objective="clip"), "accuracy")
    assert {(value.evaluator, value.value) for _, value in by_clip} == {("zero-shot", 25.86)}
    per_class = published(PAPERS, "mean-per-class")
    assert {(value.evaluator, value.value) for _, value in per_class} == {("zero-shot", 26.95)}
