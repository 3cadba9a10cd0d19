"""From records on disk to the database, the conclusions and the report; nothing is mocked."""

import json
import re
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from bench.core.records import Counts, RunRecord, Score
from bench.core.specs import RunSpec, TrainSpec
from bench.planning.study import expand, load_study
from results import queries, store, tables, variants
from results.conclusion import conclusions
from results.fidelity import recorded
from results.figures import scaling_figure
from results.queries import Experiment
from results.report import write_report
from results.summary import summary
from results.wording import glued, points, sign_of, wrapped

STUDY = Experiment("mini", "mini-aircraft", "mini-clip", "ce")
IMAGES = 200
CLASSES = 4


def write_run(
    home: Home,
    source: str,
    n: int | None,
    right: int = 100,
    *,
    val: float = 0.5,
    lr: float = 1e-5,
    **changes: Any,
) -> RunRecord:
    """Leave a finished run that classified the first `right` of 200 test images correctly."""
    spec = msgspec.structs.replace(
        RunSpec(
            preset="mini", task="mini-aircraft", source=source, options={}, n=n,
            model="mini-clip", train=TrainSpec(lr=lr),
        ),
        **{name: changes.pop(name) for name in list(changes) if name in RunSpec.__struct_fields__},
    )  # fmt: skip
    used = changes.pop("used", n or 0)
    record = RunRecord(
        run_id=spec.run_id,
        status="done",
        spec=spec,
        n=Counts(asked=n, matched=900, fetched=700, kept=600, used=used),
        image_set="set-1",
        scores=[score("val", val), score("test", right / IMAGES)],
    )
    record = msgspec.structs.replace(record, **changes)
    folder = home.run(spec.run_id)
    folder.mkdir(parents=True)
    (folder / "record.json").write_bytes(msgspec.json.encode(record))
    if record.status == "done":
        write_predictions(folder, right)
    return record


def score(split: str, value: float) -> Score:
    return Score(
        evaluator="linear-probe", split=split, metric="accuracy", value=value, n=IMAGES,
        ci_low=value - 0.07, ci_high=value + 0.07,
    )  # fmt: skip


def write_predictions(folder: Path, right: int) -> None:
    labels = np.arange(IMAGES) % CLASSES
    answers = np.where(np.arange(IMAGES) < right, labels, (labels + 1) % CLASSES)
    pl.DataFrame(
        {
            "evaluator": "linear-probe",
            "split": "test",
            "key": [f"image-{index}" for index in range(IMAGES)],
            "label": labels,
            "predicted": answers,
        }
    ).write_parquet(folder / "predictions.parquet")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    # A home folder's name may be a pattern to others.
    return Home(tmp_path / "home [1] *")


def sentences(home: Home) -> list[str]:
    store.collect(home)
    with store.reading(home) as connection:
        return conclusions(connection, STUDY)


# ---------------------------------------------------------------- collecting


def test_empty_home_says_what_to_do(home: Home) -> None:
    with pytest.raises(BenchError, match=r"no records in .*run `bench demo`"):
        store.collect(home)
    with pytest.raises(BenchError, match="bench collect"), store.reading(home):
        pass


def test_unreadable_files_are_skipped_with_a_reason(home: Home) -> None:
    good = write_run(home, "retrieved", 100)
    content = json.loads((home.run(good.run_id) / "record.json").read_bytes())
    bad = {
        "cut": b'{"run_id": "cut", "sta',
        "empty": b"",
        "binary": b"\xff\xfe\x00",
        "deep": b"[" * 100_000,
        "list": b"[1, 2]",
        "foreign": b'{"hello": "world"}',
        "newer": json.dumps(content | {"run_id": "newer", "schema_version": 2, "x": 1}).encode(),
        "copied": json.dumps(content).encode(),
        "huge": json.dumps(
            content | {"run_id": "huge", "spec": content["spec"] | {"seed": 2**63}}
        ).encode(),
    }
    for name, data in bad.items():
        home.run(name).mkdir()
        (home.run(name) / "record.json").write_bytes(data)
    (home.run("folder") / "record.json").mkdir(parents=True)
    collected = store.collect(home)
    assert collected.read == 1
    skipped = {Path(line.split(": ")[0]).parent.name: line for line in collected.skipped}
    assert set(skipped) == {*bad, "folder"}
    assert "schema 2" in skipped["newer"]
    assert good.run_id in skipped["copied"]
    assert all("\n" not in line for line in collected.skipped)


def test_a_corrupt_prediction_file_costs_only_itself(home: Home) -> None:
    runs = [write_run(home, "retrieved", n) for n in (10, 20, 30, 40, 50)]
    (home.run(runs[2].run_id) / "predictions.parquet").write_bytes(b"PAR1 not really PAR1")
    collected = store.collect(home)
    assert collected.read == 5
    assert [runs[2].run_id in line for line in collected.skipped] == [True]
    with store.reading(home) as connection:
        kept = connection.execute("SELECT count(DISTINCT run_id) FROM predictions").fetchone()
    assert kept == (4,)


def test_a_rebuild_is_atomic(home: Home) -> None:
    write_run(home, "retrieved", 100)
    store.collect(home)
    with store.reading(home) as before:
        write_run(home, "synthetic", 100)
        store.collect(home)
        assert before.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    with store.reading(home) as after:
        assert after.execute("SELECT count(*) FROM runs").fetchone() == (2,)
    assert {path.name for path in home.root.iterdir()} == {"runs", "results.duckdb"}


def test_a_database_that_cannot_be_written_is_one_line(home: Home) -> None:
    write_run(home, "retrieved", 100)
    home.database.mkdir()
    with pytest.raises(BenchError, match="cannot write"):
        store.collect(home)
    assert {path.name for path in home.root.iterdir()} == {"runs", "results.duckdb"}


@pytest.mark.slow
def test_thousands_of_records(home: Home) -> None:
    for seed in range(5_000):
        write_run(home, "retrieved", 100, seed=seed)
    assert store.collect(home).read == 5_000


# ---------------------------------------------------------------- questions


def test_selection_looks_at_validation_not_at_test(home: Home) -> None:
    chosen = write_run(home, "retrieved", 100, right=60, val=0.9, lr=1e-5)
    write_run(home, "retrieved", 100, right=190, val=0.4, lr=3e-5)
    write_run(home, "retrieved", 100, right=180, val=0.3, options={"tau": 0.21})
    store.collect(home)
    with store.reading(home) as connection:
        (run,) = queries.selected_runs(connection, STUDY).to_dict("records")
        (mean,) = queries.scaling(connection, STUDY).to_dict("records")
    assert (run["run_id"], run["rivals"]) == (chosen.run_id, 3)
    assert mean["mean"] == pytest.approx(60 / IMAGES)


def test_seed_spread_and_test_interval_stay_apart(home: Home) -> None:
    for seed, right in enumerate((80, 100, 120)):
        write_run(home, "retrieved", 100, right=right, seed=seed)
    # The same images again under another name must not count as a fourth seed.
    write_run(home, "retrieved", None, right=120, seed=2, used=100)
    store.collect(home)
    with store.reading(home) as connection:
        (row,) = queries.scaling(connection, STUDY).to_dict("records")
    assert (row["seeds"], row["mean"]) == (3, pytest.approx(0.5))
    assert (row["seed_min"], row["seed_max"], row["seed_std"]) == pytest.approx((0.4, 0.6, 0.1))
    assert (row["test_low"], row["test_high"]) == pytest.approx((0.43, 0.57))


def test_the_baseline_belongs_to_every_objective(home: Home) -> None:
    write_run(home, "none", None, right=70)
    write_run(home, "retrieved", 100)
    write_run(home, "retrieved", 100, objective="clip")
    store.collect(home)
    with store.reading(home) as connection:
        found = queries.experiments(connection)
        values = [queries.scaling(connection, one)["mean"].tolist() for one in found]
    assert [one.objective for one in found] == ["ce", "clip"]
    assert values == [[0.35, 0.5], [0.35, 0.5]]


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
    store.collect(home)
    with store.reading(home) as connection:
        means = queries.scaling(connection, STUDY)
        runs = queries.selected_runs(connection, STUDY)
        holes = queries.holes(connection, STUDY)
    found = dict(zip(means["label"], means["mean"], strict=True))
    assert list(found) == [
        "none", "folder digits", "folder letters", "mixed 0.3:0.7", "mixed 0.5:0.5", "retrieved"
    ]  # fmt: skip
    assert (found["mixed 0.3:0.7"], found["mixed 0.5:0.5"]) == pytest.approx((0.3, 0.5))
    assert set(runs.loc[runs["source"] == "mixed", "rivals"]) == {2}
    assert set(holes["label"]) == set(found) - {"none", "retrieved"}
    assert "mixed 0.3:0.7" in write_report(home, tmp_path).html.read_text()


def test_a_tuned_study_keeps_what_validation_prefers(home: Home) -> None:
    specs = expand(load_study(Path(__file__).parents[2] / "studies" / "mini-full.yaml"))
    aircraft = [spec for spec in specs if (spec.task, spec.n) == ("mini-aircraft", 320)]
    for spec, lr in product(aircraft, (1e-3, 3e-3)):
        for tau in (0.28, 0.4) if spec.source == "retrieved" else (None,):
            options = spec.options | ({"tau": tau} if tau else {})
            # Validation prefers one learning rate and one tau.
            val = 0.5 + 0.1 * (lr == 3e-3) + 0.2 * (tau == 0.4)
            changes: dict[str, Any] = {"val": val, "seed": spec.seed, "options": options, "lr": lr}
            write_run(home, spec.source, 320, **changes)
    store.collect(home)
    with store.reading(home) as connection:
        runs = queries.selected_runs(connection, STUDY)
    rivals = {source: set(own["rivals"]) for source, own in runs.groupby("source")}
    assert rivals == {
        "mixed": {2}, "real": {2}, "rendered": {2}, "retrieved": {4}, "synthetic": {2},
    }  # fmt: skip
    assert len(runs) == 5 * 3
    assert set(runs["lr"]) == {3e-3}
    assert set(runs["validation"].round(9)) == {0.6, 0.8}
    drawn = {spec.source: spec.options for spec in aircraft}
    assert drawn["mixed"]["options"]["synthetic"] == drawn["synthetic"]


def test_each_variant_is_compared_alone(home: Home) -> None:
    write_run(home, "retrieved", 100, right=100)
    for name, right in (("good", 150), ("bad", 50)):
        write_run(home, "synthetic", 100, options={"generator": f"lab/{name}"}, right=right)
    bad, good, _ = sentences(home)
    assert "retrieved images beat synthetic bad ones by 25.0 points" in bad
    assert "synthetic good images beat retrieved ones by 25.0 points" in good


@pytest.mark.parametrize(
    ("one", "other", "labels"),
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
            {"options": {"parts": {"a": 1}, "options": {"a": {"pool": "p", "tau": 1}}}},
            {"options": {"parts": {"a": 1}, "options": {"a": {"pool": "q", "tau": 2}}}},
            ["s p", "s q"],
        ),
    ],
)  # fmt: skip
def test_labels_say_what_differs(
    home: Home, one: dict[str, Any], other: dict[str, Any], labels: list[str]
) -> None:
    records = [write_run(home, "s", 100, seed=seed, **own) for seed, own in enumerate((one, other))]
    assert [variants.labels(records)[record.run_id] for record in records] == labels


def test_the_metric_is_the_one_that_runs_were_selected_by(home: Home) -> None:
    per_class = [
        msgspec.structs.replace(score(split, value), metric="mean-per-class")
        for split, value in (("val", 0.2), ("test", 0.25))
    ]
    both = [score("val", 0.5), score("test", 0.5), *per_class]
    kept = write_run(home, "retrieved", 100, selection={"metric": "mean-per-class"}, scores=both)
    # Better in the other metric, which is not what counts.
    low = [*both[:2], msgspec.structs.replace(both[2], value=0.1), both[3]]
    selection = {"metric": "mean-per-class"}
    write_run(home, "retrieved", 100, lr=1e-3, selection=selection, scores=low)
    store.collect(home)
    with store.reading(home) as connection:
        (run,) = queries.selected_runs(connection, STUDY).to_dict("records")
        (mean,) = queries.scaling(connection, STUDY).to_dict("records")
    assert (run["run_id"], run["metric"]) == (kept.run_id, "mean-per-class")
    assert (mean["metric"], mean["mean"]) == ("mean-per-class", 0.25)


PINS = {"task": "mini-aircraft@2-new", "model": "weights-new"}


@pytest.mark.parametrize("old", [PINS | {"task": "x"}, PINS | {"model": "x"}, {}])
def test_runs_of_another_task_version_or_weights_are_left_out(
    home: Home, tmp_path: Path, old: dict[str, str]
) -> None:
    earlier, later = "2026-01-01", "2026-01-02"
    write_run(home, "retrieved", 100, right=199, val=0.9, fingerprints=old, started=earlier)
    write_run(home, "retrieved", 200, right=199, val=0.9, fingerprints=old, started=earlier)
    write_run(
        home, "retrieved", 100, right=199, objective="clip", fingerprints=old, started=earlier
    )
    # What else a source depends on is not what judges it.
    kept = write_run(
        home, "retrieved", 100, right=120, fingerprints=PINS | {"pool": "p"}, started=later
    )
    write_run(home, "synthetic", 100, right=100, fingerprints=PINS, started=later)
    store.collect(home)
    with store.reading(home) as connection:
        assert queries.experiments(connection) == [STUDY]
        runs = queries.selected_runs(connection, STUDY)
        means = queries.scaling(connection, STUDY)["mean"].tolist()
        found = queries.paired_difference(connection, STUDY, "linear-probe", 100)
        holes = queries.holes(connection, STUDY)
    assert runs["run_id"].iloc[0] == kept.run_id
    assert runs["rivals"].tolist() == [1, 1]
    assert means == pytest.approx([0.6, 0.5])
    assert found is not None
    assert found.estimate.value == pytest.approx(0.1)
    assert list(zip(holes["label"], holes["n_asked"], strict=True)) == [
        ("retrieved", 200), ("synthetic", 200)
    ]  # fmt: skip
    line = "3 finished runs are left out, of another version of mini-aircraft or of mini-clip"
    assert line in write_report(home, tmp_path).html.read_text()
    assert line in " ".join(summary(home, [STUDY]).split())


def test_paired_difference_averages_over_seeds(home: Home) -> None:
    for seed, (a, b) in enumerate([(120, 100), (140, 80)]):
        write_run(home, "retrieved", 100, right=a, seed=seed)
        write_run(home, "synthetic", 100, right=b, seed=seed)
    store.collect(home)
    with store.reading(home) as connection:
        found = queries.paired_difference(connection, STUDY, "linear-probe", 100)
        assert queries.paired_difference(connection, STUDY, "linear-probe", 50) is None
    assert found is not None
    assert found.estimate.value == pytest.approx(0.2)
    assert found.seed_differences == pytest.approx([0.1, 0.3])
    assert found.seeds == (2, 2)


def test_holes_are_what_a_source_lacks(home: Home) -> None:
    write_run(home, "retrieved", 100)
    write_run(home, "synthetic", 100)
    write_run(home, "synthetic", 800, seed=1, status="failed", error="disk full", scores=[])
    store.collect(home)
    with store.reading(home) as connection:
        rows = queries.holes(connection, STUDY)[["label", "n_asked", "seed", "error"]]
    missing = {tuple(row) for row in rows.to_numpy()}
    assert ("synthetic", 800, 1, "disk full") in missing
    assert ("retrieved", 800, 0, "") in missing
    assert len(missing) == 6


# ---------------------------------------------------------------- conclusions


def test_conclusion_at_the_largest_common_n(home: Home) -> None:
    for seed in (0, 1):
        write_run(home, "retrieved", 500, right=80, seed=seed)
        write_run(home, "synthetic", 500, right=120 + seed, seed=seed)
        write_run(home, "synthetic", 4_000, right=199, seed=seed)
    sentence, seeds = sentences(home)
    assert sentence.startswith(
        "On mini-aircraft at n = 500, synthetic images beat retrieved ones by 20.2 points of "
        "linear-probe accuracy (95 % interval "
    )
    # No draw of the bootstrap was on the other side of 0.
    assert sentence.endswith(", p < 0.001; 2 seeds, from 20.0 to 20.5).")
    assert "2 seeds are too few" in seeds


def test_conclusion_without_a_difference(home: Home) -> None:
    write_run(home, "retrieved", 500, right=101)
    write_run(home, "synthetic", 500, right=100)
    sentence, seeds = sentences(home)
    assert "no difference between retrieved and synthetic images can be told" in sentence
    assert sentence.endswith("; 1 seed).")
    assert "1 seed is too few" in seeds


def test_five_seeds_need_no_warning(home: Home) -> None:
    for source, seed in product(("retrieved", "synthetic"), range(5)):
        write_run(home, source, 500, right=101 + seed, seed=seed)
    (sentence,) = sentences(home)
    assert "5 seeds" in sentence


def test_harm_and_gain_against_the_unadapted_model(home: Home) -> None:
    write_run(home, "none", None, right=100)
    for seed in (0, 1):
        write_run(home, "retrieved", 500, right=140, seed=seed)
        write_run(home, "synthetic", 500, right=80, seed=seed)
        write_run(home, "real", 500, right=100 + seed, seed=seed)
        write_run(home, "mixed", 500, right=100, seed=seed, selection={"epoch": 0})
    _, sentence, *_ = sentences(home)
    assert sentence.startswith(
        "Without adaptation, linear-probe accuracy is 50.0 %; at n = 500, retrieved images raise "
        "it to 70.0 % (+20.0 points, 95 % interval "
    )
    assert "; synthetic images do harm: they lower it to 40.0 % (-10.0 points, 95 % " in sentence
    assert "; real images (50.2 %, +0.2 points, 95 % interval " in sentence
    assert ") make no difference that this study could tell; mixed images leave it" in sentence


def test_an_arm_without_results_is_said_once(home: Home) -> None:
    write_run(home, "none", None, right=100)
    write_run(home, "retrieved", 500, right=140)
    against, missing = sentences(home)
    assert "retrieved images raise it to 70.0 %" in against
    assert missing == "There are no results of synthetic images to compare with."


def test_lines_end_neither_within_a_number_and_its_unit_nor_at_a_hyphen() -> None:
    text = "a data-equivalence ratio at n = 1.28k of 62.4 %, by 3.2 points, p < 0.001"
    for width in range(12, 60):
        lines = wrapped(text, width, bullet="- ").split("\n")
        assert " ".join(line[2:] for line in lines) == text
        for line in lines[1:]:
            assert not line.strip().startswith(("%", "points", "=", "<", "1.28k", "0.001", "equiv"))


@pytest.mark.parametrize(
    ("low", "high", "sign"),
    [(0.01, 0.02, 1), (-0.02, -0.01, -1), (-1e-17, 0.1, 0), (1e-17, 0.1, 0), (-0.1, -1e-17, 0)],
)
def test_no_verdict_hangs_on_how_a_sum_was_rounded(low: float, high: float, sign: int) -> None:
    assert sign_of(low, high) == sign
    assert points(-1e-5) == "+0.0 points"


@pytest.mark.parametrize(("generated", "cautious"), [(0.14, True), (0.66, False)])
def test_a_generator_at_chance_is_said_so(home: Home, generated: float, cautious: bool) -> None:
    judged = {"real": 0.95, "rebuilt": 0.8, "generated": generated, "wrong_caption": 0.1}
    domain = {name: {"accuracy": share, "n": 200} for name, share in judged.items()}
    settings = {"chance": 0.125, "scheduler": "ddim", "steps": 20, "guidance": 2.5, "later": "key"}
    write_run(home, "retrieved", 500, right=150)
    fidelity = {"settings": settings, "domains": {"aircraft": domain}}
    write_run(home, "synthetic", 500, fidelity=fidelity)
    sentence, *_ = sentences(home)
    assert ("shows no class fidelity" in sentence) == cautious


@pytest.mark.parametrize(("last", "agreed"), [(81, True), (80, False), (79, False)])
def test_seeds_that_disagree_are_said_so(home: Home, last: int, agreed: bool) -> None:
    for seed, right in enumerate((140, last)):
        write_run(home, "retrieved", 500, right=right, seed=seed)
        write_run(home, "synthetic", 500, right=80, seed=seed)
    sentence, *_ = sentences(home)
    assert "retrieved images beat synthetic ones by " in sentence
    assert ("of linear-probe accuracy (95 % interval" in sentence) == agreed
    assert ("on average, but not at every seed (95 % interval" in sentence) != agreed


def test_arms_that_stayed_the_unadapted_model_are_not_compared(home: Home, tmp_path: Path) -> None:
    write_run(home, "none", None, selection={"epoch": 0})
    for source, seed in product(("retrieved", "synthetic"), (0, 1)):
        write_run(home, source, 100, seed=seed, selection={"epoch": 0})
    assert sentences(home) == [
        "On mini-aircraft, validation chose the unadapted model in every run of retrieved and "
        "synthetic images, so there is nothing to compare."
    ]
    # One run that was adapted is enough for a comparison.
    write_run(home, "retrieved", 200, right=150, selection={"epoch": 7})
    compared, against, *_ = sentences(home)
    assert "at n = 100" in compared
    assert "at n = 200, retrieved images raise it to 75.0 %" in against
    assert against.endswith(
        "synthetic images leave it there, as validation chose the unadapted model in every run."
    )
    page = write_report(home, tmp_path).html.read_text()
    assert "<th>epoch</th>" in page
    assert "<td>7</td>" in page


def test_conclusion_without_a_common_n(home: Home) -> None:
    write_run(home, "retrieved", 100)
    write_run(home, "synthetic", 500)
    assert sentences(home)[0] == (
        "Retrieved and synthetic images were not judged at the same n by linear-probe."
    )


def write_curves(home: Home, **of_arm: dict[int, int]) -> None:
    for source, right in of_arm.items():
        for n, seed in product(right, (0, 1)):
            write_run(home, source, n, right=right[n], seed=seed)


def test_curves_say_how_many_images_are_worth_how_many(home: Home, tmp_path: Path) -> None:
    write_run(home, "none", None, right=60)
    write_curves(home, retrieved={100: 80, 400: 160}, synthetic={100: 70, 1_600: 120})
    # Hyper-parameters that validation refused say nothing, nor do another objective's curves.
    write_run(home, "retrieved", 50, right=199, objective="clip")
    write_run(home, "retrieved", 100, right=199, lr=1.0, val=0.1)
    *_, sentence, _ = sentences(home)
    start = (
        "Synthetic images do best at n = 1.6k, with 60.0 % of linear-probe accuracy, which about "
        "200 retrieved ones reach: a data-equivalence ratio of 8 synthetic images to 1 retrieved "
        "one (95 % interval "
    )
    assert sentence.startswith(start)
    assert sentence.endswith(", over test images and 2 seeds).")
    assert glued(sentence) in write_report(home, tmp_path).html.read_text()
    assert sentence in " ".join(summary(home, [STUDY]).split())


@pytest.mark.parametrize(
    ("retrieved", "synthetic", "expected"),
    [
        (
            {100: 130, 200: 170}, {100: 70, 1_600: 80},
            "which the fewest retrieved ones tried, 100, already reach: a data-equivalence ratio "
            "of at least 16 synthetic images to 1 retrieved one (95 % interval at least 16, over",
        ),
        (
            {100: 70, 400: 80}, {100: 90, 1_600: 130},
            "which not even 400 retrieved ones reach: a data-equivalence ratio of less than 4 "
            "synthetic images to 1 retrieved one (95 % interval less than 4, over",
        ),
        (
            {100: 70, 400: 80}, {100: 60, 1_600: 60},
            "Synthetic images at no n reliably raise linear-probe accuracy (30.0 % at best, "
            "unadapted 30.0 %), so there is no data-equivalence ratio.",
        ),
    ],
)  # fmt: skip
def test_what_the_sizes_cannot_tell_is_said(
    home: Home, retrieved: dict[int, int], synthetic: dict[int, int], expected: str
) -> None:
    write_run(home, "none", None, right=60)
    write_curves(home, retrieved=retrieved, synthetic=synthetic)
    assert expected in sentences(home)[-2]


def test_a_ratio_that_most_draws_lack_is_none(home: Home) -> None:
    write_run(home, "none", None, right=60)
    write_curves(home, retrieved={100: 70, 400: 80}, synthetic={100: 60})
    for seed in range(3):
        write_run(home, "synthetic", 400, right=60 + (seed == 0), seed=seed)
    assert sentences(home)[-2] == (
        "Synthetic images at no n reliably raise linear-probe accuracy (30.2 % at best, unadapted "
        "30.0 %), so there is no data-equivalence ratio."
    )


def test_a_ratio_between_two_bounds_cannot_be_told(home: Home) -> None:
    write_run(home, "none", None, right=60)
    write_curves(home, retrieved={100: 70, 400: 110})
    # One seed of synthetic images does better than any retrieved ones, the other worse.
    for n, seed in product((100, 400), (0, 1)):
        write_run(home, "synthetic", n, right=(62, 130)[seed] if n == 400 else 61, seed=seed)
    assert sentences(home)[-2] == (
        "The data-equivalence ratio, synthetic images to 1 retrieved one, cannot be told from "
        "these sizes: its 95 % interval is less than 1 to at least 4 by linear-probe accuracy."
    )


def test_a_mixture_carries_its_generators_fidelity(home: Home) -> None:
    known: dict[str, Any] = {"settings": {}, "domains": {}}
    counts = {"synthetic": {"kept": 5, "fidelity": known}, "kept": 10}
    record = write_run(home, "mixed", 100, stage_counts=counts)
    assert recorded(record) == known
    store.collect(home)
    with store.reading(home) as connection:
        assert queries.fidelity(connection, STUDY) == known


# ---------------------------------------------------------------- report and exports


class Tags(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen |= {tag, *(name for name, _ in attrs)}
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_report_escapes_hostile_text(home: Home, tmp_path: Path) -> None:
    hostile = "</td><script>alert(1)</script><img src=x onerror=alert(2)> $\\frac{"
    write_run(home, "retrieved", 100, options={"path": hostile}, task=hostile, device=hostile)
    write_run(home, hostile, 200, task=hostile, fidelity={hostile: hostile}, image_set=hostile)
    write_run(home, "synthetic", 100, task=hostile, status="failed", error=hostile, scores=[])
    report = write_report(home, tmp_path / "out")
    page = report.html.read_text()
    assert "&lt;script&gt;" in page
    assert not {"script", "onerror"} & Tags(page).seen
    plots = [path for two in report.plots.values() for path in two]
    assert {path.parent for path in [*plots, *report.tables]} == {tmp_path / "out"}


def test_report_shows_published_numbers_beside_paper_runs_only(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 100, task="aircraft")
    assert "83.5" not in write_report(home, tmp_path / "mini").html.read_text()
    write_run(home, "retrieved", 100, preset="paper", task="aircraft")
    assert "83.5" in write_report(home, tmp_path / "paper").html.read_text()


@pytest.mark.parametrize("evaluators", [1, 2, 3])
def test_a_figures_legend_is_not_cut(home: Home, tmp_path: Path, evaluators: int) -> None:
    names = ["linear-probe", "zero-shot", "knn"][:evaluators]
    for source, n in (("none", None), ("retrieved", 100), ("synthetic", 100), ("retrieved", 1_000)):
        for seed in (0, 1):
            scores = [msgspec.structs.replace(score("test", 0.5), evaluator=e) for e in names]
            write_run(home, source, n, seed=seed, scores=scores)
    store.collect(home)
    with store.reading(home) as connection:
        figure = scaling_figure(queries.scaling(connection, STUDY), STUDY.title)
    figure.savefig(tmp_path / "figure.png")
    (legend,) = (one for below in figure.subfigs for one in below.legends)
    assert any("no more retrieved images" in text.get_text() for text in legend.get_texts())
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width


def test_the_page_closes_what_it_opens(home: Home, tmp_path: Path) -> None:
    write_run(home, "none", None, right=60)
    write_curves(home, retrieved={100: 80, 400: 160}, synthetic={100: 70, 1_600: 120})
    page = write_report(home, tmp_path).html.read_text()
    assert Tags(page).open == []
    found = re.search(r'<p class="finding">.*?</p>\n<ul>\n((?:<li>.*</li>\n)+)</ul>', page)
    assert found is not None
    assert found[1].count("<li>") == 3


def test_report_of_nothing_but_failures(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 100, status="failed", error="the disk is full", scores=[])
    report = write_report(home, tmp_path / "out")
    assert "the disk is full" in report.html.read_text()
    assert report.plots == {}


def test_exports_read_back(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 1_000, right=150)
    for format_ in ("csv", "parquet", "md", "latex"):
        tables.export(home, format_, tmp_path / format_)
    for format_ in ("md", "latex"):
        assert "generator fidelity: not measured" in (tmp_path / format_).read_text()
    numbers = pl.read_csv(tmp_path / "csv")
    assert numbers["mean"].to_list() == pl.read_parquet(tmp_path / "parquet")["mean"].to_list()
    assert numbers["mean"].to_list() == [0.75]
    assert "| retrieved | 1k | 1 | 75.0 [68.0, 82.0] |" in (tmp_path / "md").read_text()
    assert "retrieved & 1k & 1 & 75.0 [68.0, 82.0] \\\\" in (tmp_path / "latex").read_text()
    with pytest.raises(RequestError, match="did you mean csv"):
        tables.export(home, "cvs", tmp_path / "cvs")
