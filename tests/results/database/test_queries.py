"""Which runs count, and what their scores are: selection, means, and what is missing."""

from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.core.paths import Home
from bench.core.records import Score
from bench.core.specs import TrainSpec
from bench.planning.study import expand, load_study
from results import pairs, tables
from results.conclusions.choices import choices
from results.conclusions.conclusion import conclusions
from results.database import queries
from results.pairs import paired_difference
from results.report.page import write_report
from results.summary import summary
from tests.conftest import ROOT
from tests.support.records import IMAGES, STUDY, collected, score, write_run


def test_selection_looks_at_validation_not_at_test(home: Home) -> None:
    chosen = write_run(home, "retrieved", 100, right=60, val=0.9, lr=1e-5)
    write_run(home, "retrieved", 100, right=190, val=0.4, lr=3e-5)
    write_run(home, "retrieved", 100, right=180, val=0.3, options={"tau": 0.21})
    with collected(home) as connection:
        (run,) = queries.selected_runs(connection, STUDY).to_dict("records")
        (mean,) = queries.scaling(connection, STUDY).to_dict("records")
    assert (run["run_id"], run["candidates"]) == (chosen.run_id, 3)
    assert mean["mean"] == pytest.approx(60 / IMAGES)


def test_seed_spread_and_test_interval_stay_apart(home: Home) -> None:
    for seed, right in enumerate((80, 100, 120)):
        write_run(home, "retrieved", 100, right=right, seed=seed)
    # The same images again under another name must not count as a fourth seed.
    write_run(home, "retrieved", None, right=120, seed=2, used=100)
    with collected(home) as connection:
        (row,) = queries.scaling(connection, STUDY).to_dict("records")
    assert (row["seeds"], row["mean"]) == (3, pytest.approx(0.5))
    assert (row["seed_min"], row["seed_max"], row["seed_std"]) == pytest.approx((0.4, 0.6, 0.1))
    assert (row["test_low"], row["test_high"]) == pytest.approx((0.43, 0.57))


def test_scores_of_other_epochs_stand_beside_the_chosen_one(home: Home) -> None:
    scores = [score("val", 0.5), score("test", 0.5)]
    for at_epoch, value in (("trained", 0.4), ("last", 0.3)):
        scores += [
            msgspec.structs.replace(score(split, value), at_epoch=at_epoch)
            for split in ("val", "test")
        ]
    selection = {"epoch": 0, "trained_epoch": 2, "last_epoch": 3}
    for seed in (0, 1):
        write_run(home, "synthetic", 100, seed=seed, scores=scores, selection=selection)
    with collected(home) as connection:
        runs = queries.selected_runs(connection, STUDY)
        (row,) = queries.scaling(connection, STUDY).to_dict("records")
    assert len(runs) == 2
    assert runs[["epoch", "trained_epoch", "last_epoch"]].to_numpy().tolist() == [[0, 2, 3]] * 2
    assert (row["seeds"], row["mean"]) == (2, 0.5)
    assert (row["trained_mean"], row["last_mean"]) == pytest.approx((0.4, 0.3))


def test_the_baseline_belongs_to_every_objective(home: Home) -> None:
    write_run(home, "none", None, right=70)
    write_run(home, "retrieved", 100)
    write_run(home, "retrieved", 100, objective="clip")
    with collected(home) as connection:
        means = {
            experiment.objective: queries.scaling(connection, experiment)["mean"].tolist()
            for experiment in queries.experiments(connection)
        }
    assert means == {"ce": [0.35, 0.5], "clip": [0.35, 0.5]}


def test_other_images_are_another_experiment_and_other_hyper_parameters_are_not(
    home: Home, tmp_path: Path
) -> None:
    for share in (0.3, 0.5):
        options = {"parts": {"retrieved": share, "synthetic": 1 - share}}
        write_run(home, "mixed", 100, options=options, right=int(200 * share))
        write_run(home, "mixed", 100, options=options, val=0.1, lr=1e-3)
    for name in ("digits", "letters"):
        write_run(home, "folder", 100, options={"path": f"/data/{name}"})
    write_run(home, "retrieved", 100, options={"pool": "a", "tau": 0.1})
    write_run(home, "retrieved", 200, options={"pool": "a", "tau": 0.2}, val=0.4)
    write_run(home, "none", None)
    write_run(home, "none", None, order="balanced", val=0.1)
    with collected(home) as connection:
        scaling = queries.scaling(connection, STUDY)
        runs = queries.selected_runs(connection, STUDY)
        missing = queries.missing_runs(connection, STUDY)
    means = dict(zip(scaling["label"], scaling["mean"], strict=True))
    mixtures = ["mixed 30 % retrieved, 70 % synthetic", "mixed 50 % retrieved, 50 % synthetic"]
    assert list(means) == [
        "none", "folder digits", "folder letters", *mixtures, "retrieved"
    ]  # fmt: skip
    assert [means[name] for name in mixtures] == pytest.approx([0.3, 0.5])
    assert set(runs.loc[runs["source"] == "mixed", "candidates"]) == {2}
    # Of the two tau, which no n has in common, one is shown.
    assert set(missing["label"]) == set(means) - {"none"}
    assert mixtures[0] in write_report(home, tmp_path).html.read_text()


def test_a_tuned_study_keeps_what_validation_prefers(home: Home) -> None:
    specs = expand(load_study(ROOT / "studies" / "mini-full.yaml"))
    aircraft = [spec for spec in specs if (spec.task, spec.n) == ("mini-aircraft", 320)]
    for spec, lr in product(aircraft, (1e-3, 3e-3)):
        for tau in (0.28, 0.4) if spec.source == "retrieved" else (None,):
            options = spec.options | ({"tau": tau} if tau else {})
            # Validation prefers one learning rate and one tau.
            val = 0.5 + 0.1 * (lr == 3e-3) + 0.2 * (tau == 0.4)
            changes: dict[str, Any] = {"val": val, "seed": spec.seed, "options": options, "lr": lr}
            write_run(home, spec.source, 320, **changes)
    with collected(home) as connection:
        runs = queries.selected_runs(connection, STUDY)
    candidates = {source: set(of["candidates"]) for source, of in runs.groupby("source")}
    assert candidates == {
        "mixed": {2}, "real": {2}, "rendered": {2}, "retrieved": {4}, "synthetic": {2},
    }  # fmt: skip
    assert len(runs) == 5 * 3
    assert set(runs["lr"]) == {3e-3}
    assert set(runs["validation"].round(9)) == {0.6, 0.8}
    options_of = {spec.source: spec.options for spec in aircraft}
    assert options_of["mixed"]["options"]["synthetic"] == options_of["synthetic"]


def test_the_metric_is_the_one_that_runs_were_selected_by(home: Home) -> None:
    def scores(val: float) -> list[Any]:
        pairs = [("val", val), ("test", 0.25)]
        per_class = [score(split, value, metric="mean-per-class") for split, value in pairs]
        return [score("val", 0.5), score("test", 0.5), *per_class]

    selection = {"metric": "mean-per-class"}
    kept = write_run(home, "retrieved", 100, selection=selection, scores=scores(0.2))
    # Equal in the other metric, which is not what counts.
    write_run(home, "retrieved", 100, lr=1e-3, selection=selection, scores=scores(0.1))
    with collected(home) as connection:
        (run,) = queries.selected_runs(connection, STUDY).to_dict("records")
        (mean,) = queries.scaling(connection, STUDY).to_dict("records")
    assert (run["run_id"], run["metric"]) == (kept.run_id, "mean-per-class")
    assert (mean["metric"], mean["mean"]) == ("mean-per-class", 0.25)


NEW = {"task": "mini-aircraft@2-new", "model": "weights-new"}


@pytest.mark.parametrize("old", [NEW | {"task": "x"}, NEW | {"model": "x"}, {}])
def test_runs_of_another_task_version_or_weights_are_left_out(
    home: Home, tmp_path: Path, old: dict[str, str]
) -> None:
    for n, objective in ((100, "ce"), (200, "ce"), (100, "clip")):
        write_run(
            home, "retrieved", n, right=199, val=0.9, objective=objective, fingerprints=old,
            started="2026-01-01",
        )  # fmt: skip
    # Fingerprints of the source's inputs do not matter here.
    later: dict[str, Any] = {"fingerprints": NEW | {"pool": "p"}, "started": "2026-01-02"}
    kept = write_run(home, "retrieved", 100, right=120, **later)
    write_run(home, "synthetic", 100, right=100, **later | {"fingerprints": NEW})
    with collected(home) as connection:
        assert queries.experiments(connection) == [STUDY]
        runs = queries.selected_runs(connection, STUDY)
        means = queries.scaling(connection, STUDY)["mean"].tolist()
        difference = paired_difference(connection, STUDY, "linear-probe", 100)
        missing = queries.missing_runs(connection, STUDY)
    assert runs["run_id"].iloc[0] == kept.run_id
    assert runs["candidates"].tolist() == [1, 1]
    assert means == pytest.approx([0.6, 0.5])
    assert difference is not None
    assert difference.estimate.value == pytest.approx(0.1)
    assert list(zip(missing["label"], missing["n_asked"], strict=True)) == [
        ("retrieved", 200), ("synthetic", 200)
    ]  # fmt: skip
    line = "3 finished runs are left out"
    assert line in write_report(home, tmp_path).html.read_text()
    assert line in " ".join(summary(home, [STUDY]).split())


def test_missing_runs_are_what_another_source_has(home: Home) -> None:
    write_run(home, "retrieved", 100)
    write_run(home, "synthetic", 100)
    write_run(home, "synthetic", 800, seed=1, status="failed", error="disk full", scores=[])
    with collected(home) as connection:
        rows = queries.missing_runs(connection, STUDY)[["label", "n_asked", "seed", "error"]]
    missing = {tuple(row) for row in rows.to_numpy()}
    assert missing == {("synthetic", 800, 1, "disk full"), ("retrieved", 800, 1, "")}


def test_a_seed_that_no_source_was_asked_for_at_an_n_is_not_missing(home: Home) -> None:
    """As in the demo, which has more seeds at its largest n."""
    for source, n, seed in product(("retrieved", "synthetic"), (100, 800), range(3)):
        if n == 800 or seed < 2:
            write_run(home, source, n, seed=seed)
    with collected(home) as connection:
        assert queries.missing_runs(connection, STUDY).empty


def test_a_mixture_carries_its_generators_fidelity(home: Home) -> None:
    known: dict[str, Any] = {"settings": {}, "domains": {}}
    counts = {"synthetic": {"kept": 5, "fidelity": known}, "kept": 10}
    write_run(home, "mixed", 100, stage_counts=counts)
    with collected(home) as connection:
        assert queries.fidelity(connection, STUDY) == known


def test_each_evaluator_is_shown_in_its_own_metric(home: Home) -> None:
    def scores(probe: float, segments: float) -> list[Score]:
        return [
            score(split, value, evaluator, metric)
            for split in ("val", "test")
            for evaluator, metric, value in (
                ("linear-probe", "accuracy", probe),
                ("segmentation", "miou", segments),
            )
        ]

    train = TrainSpec(select_by="segmentation")
    write_run(home, "none", None, scores=scores(0.5, 0.1))
    write_run(home, "synthetic", 100, scores=scores(0.9, 0.2), train=train)
    better = msgspec.structs.replace(train, lr=1e-3)
    write_run(home, "synthetic", 100, scores=scores(0.6, 0.3), train=better)
    with collected(home) as connection:
        means = queries.scaling(connection, STUDY)
        table = pairs.pair_table(connection, STUDY)
        said = " ".join([*conclusions(connection, STUDY), *choices(connection, STUDY)])
        shown = tables.text(means)
    adapted = means[means["source"] == "synthetic"].set_index("evaluator")
    # mIoU chose, and is higher where better.
    assert adapted[["metric", "mean"]].to_numpy().tolist() == [["accuracy", 0.6], ["miou", 0.3]]
    assert dict(table[["evaluator", "metric"]].to_numpy()) == {
        "linear-probe": "accuracy", "segmentation": "miou",
    }  # fmt: skip
    assert "mean segmentation mIoU on validation data 30.0 %" in said
    assert "segmentation mIoU" in shown
    assert "30.0 [23.0, 37.0]" in shown
