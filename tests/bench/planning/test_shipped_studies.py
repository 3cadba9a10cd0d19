"""The studies that are shipped: each expands to what its header and the paper say."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from adapt.batches.order import check_batches
from bench.core.json_values import canonical_json
from bench.core.model_names import RELEASED, hub_id
from bench.core.specs import RunSpec
from bench.planning.study import expand, load_study
from bench.plugins import needs_of, tasks
from eval.probe.grid import PENALTIES
from results.published.tables import tables
from tests.conftest import ROOT

STUDIES = ROOT / "studies"
TAUS = {0.19, 0.20, 0.21}  # Geng 2024, appendix A.2


def runs(name: str) -> list[RunSpec]:
    return expand(load_study(STUDIES / f"{name}.yaml"))


def sizes(specs: list[RunSpec], task: str, source: str) -> set[int | None]:
    return {spec.n for spec in specs if (spec.task, spec.source) == (task, source)}


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_header_says_what_to_expect_and_how_many_runs_there_are(path: Path) -> None:
    header = path.read_text().split("name:")[0]
    count = re.search(r"(\d+) runs", header)
    assert count, "no number of runs"
    assert int(count[1]) == len(runs(path.stem))
    full = ("paper", "objectives", "synclr", "superstablerep")
    if path.stem.startswith(full) or path.stem in ("mixing", "tau-sweep", "mini"):
        assert re.search(r"[Ww]hat to expect", header)
        assert "Cost" in header


def test_figure_2_has_the_papers_tasks_sizes_and_settings() -> None:
    specs = runs("paper-figure2")
    counts = Counter((spec.task, spec.source) for spec in specs)
    assert counts == {
        ("aircraft", "none"): 1, ("cars", "none"): 1, ("flowers", "none"): 1,
        ("aircraft", "retrieved"): 7 * 3 * 3, ("aircraft", "synthetic"): 5 * 3,
        ("cars", "retrieved"): 6 * 3 * 3, ("cars", "synthetic"): 3 * 3,
        ("flowers", "retrieved"): 6 * 3 * 3, ("flowers", "synthetic"): 3 * 3,
    }  # fmt: skip
    # Geng 2024, section 4.1; None is all 341k.
    papers = {31_250, 125_000, 250_000, None}
    # Fewer, so that the number of images that are worth one retrieved image has no bound.
    fewer = {1_000, 4_000, 16_000}
    assert sizes(specs, "aircraft", "retrieved") == papers | fewer
    assert sizes(specs, "cars", "retrieved") == sizes(specs, "flowers", "retrieved")
    assert fewer < sizes(specs, "cars", "retrieved")
    assert sizes(specs, "aircraft", "synthetic") == {31_250, 125_000, 250_000, 500_000, 2_500_000}
    for task in ("cars", "flowers"):
        assert sizes(specs, task, "synthetic") == {31_250, 125_000, 210_000}
    assert {s.options["filter"]["tau"] for s in specs if s.source == "retrieved"} == TAUS
    for spec in specs:
        # Geng 2024, section 4 and appendix B.2
        train = spec.train
        assert (train.epochs, train.batch_size, train.lr) == (30, 512, 1e-5)
        assert (train.warmup_steps, train.weight_decay, train.betas) == (500, 0.1, (0.9, 0.95))
        assert spec.model == "CLIP-ViT-B-16-laion2B-s34B-b88K"
        assert (spec.objective, train.select_by) == ("ce", "linear-probe")
        if spec.source == "synthetic":
            generation = spec.options["generation"]
            assert (generation["steps"], generation["guidance"]) == (50, 2.5)  # appendix A.1
            largest = max(n or 0 for n in sizes(specs, spec.task, "synthetic"))
            assert spec.options["size"] == largest, "each n would be generated anew"


def test_figure_4_asks_for_no_run_that_figure_2_has_not() -> None:
    figure_2 = {spec.run_id for spec in runs("paper-figure2")}
    specs = runs("paper-figure4")
    assert {spec.run_id for spec in specs} <= figure_2
    assert {spec.task for spec in specs} == {"aircraft"}
    assert {31_250} < sizes(specs, "aircraft", "retrieved")
    assert {2_500_000} < sizes(specs, "aircraft", "synthetic")
    assert all("zero-shot" in spec.evaluators for spec in specs)


def test_a_language_model_writes_the_captions_and_nothing_else_differs() -> None:
    plain, written = runs("paper-figure2"), runs("paper-figure2-llm")
    for before, after in zip(plain, written, strict=True):
        if before.source != "synthetic":
            assert after == before
            continue
        captions = after.options["captions"]
        assert captions["writer"] == "transformers"
        sampling = captions["options"]
        # Geng 2024, code, synthesize_text.py
        assert (sampling["temperature"], sampling["top_p"]) == (0.8, 0.9)
        repository, revision = hub_id(sampling["model"])
        assert repository == "meta-llama/Llama-2-7b-hf"
        assert re.fullmatch("[0-9a-f]{40}", revision or "")
        others = {**captions, "writer": "grammar", "options": {}}
        assert {**after.options, "captions": others} == before.options


def test_tau_is_swept_over_the_papers_values_and_nothing_else() -> None:
    retrieved = [spec for spec in runs("tau-sweep") if spec.source == "retrieved"]
    points = {(s.task, s.seed, s.options["filter"]["tau"]) for s in retrieved}
    assert {tau for _, _, tau in points} == TAUS
    assert len(points) == len(retrieved) == 18
    assert {spec.n for spec in retrieved} == {31_250}


def test_tuning_tries_what_the_paper_chose() -> None:
    tried = {(s.source, s.train.lr, s.train.batch_size) for s in runs("paper-tuning")}
    assert {("retrieved", 1e-5, 512), ("synthetic", 1e-5, 512)} <= tried


@pytest.mark.parametrize(("name", "n"), [("mixing", 1280), ("paper-mixing", 250_000)])
def test_mixtures_take_images_from_the_sets_of_the_pure_arms(name: str, n: int) -> None:
    specs = runs(name)
    trained = [spec for spec in specs if spec.source != "none"]
    assert {spec.n for spec in trained} == {n}
    mixed = [spec for spec in trained if spec.source == "mixed"]
    assert {spec.options["parts"]["retrieved"] for spec in mixed} == {0.25, 0.5, 0.75}
    pure = {spec.source: spec.options for spec in trained if spec.source != "mixed"}
    assert set(pure) == {"retrieved", "synthetic"}
    for spec in mixed:
        assert spec.options["options"] == pure


def test_the_smoke_study_has_every_objective_on_the_same_images() -> None:
    specs = runs("ssl-smoke")
    trained = [spec for spec in specs if spec.source == "synthetic"]
    shipped = {path.name for path in (ROOT / "adapt" / "objectives").glob("[!_]*.py")}
    assert {f"{spec.objective}.py" for spec in trained} == shipped
    assert {spec.train.init for spec in trained} == {"pretrained", "scratch"}
    assert len({canonical_json(spec.options) for spec in trained}) == 1
    assert {spec.n for spec in trained} == {512}
    assert {s.objective_options.get("language") for s in trained} > {0, 1}
    assert {s.objective_options.get("loss") for s in trained} > {"nt-xent", "sigmoid"}


def test_objectives_compares_on_the_runs_of_figure_2() -> None:
    figure_2 = {spec.run_id for spec in runs("paper-figure2")}
    specs = runs("objectives")
    shared = [spec for spec in specs if spec.run_id in figure_2]
    assert len(shared) == 12
    assert {spec.objective for spec in shared} == {"ce"}
    trained = [spec for spec in specs if spec.n != 0]
    assert Counter(spec.objective for spec in trained) == {"ce": 18, "clip": 18}


def test_table_5_compares_as_many_crops_from_scratch() -> None:
    specs = [spec for spec in runs("synclr-table5") if spec.source == "synthetic"]
    crops = {s.objective: s.train.batch_size * len(needs_of(s).views) for s in specs}
    # Tian 2023, section 4.1: 2,048 captions of 4 images
    assert crops == {"ce": 8192, "simclr": 8192, "stablerep": 8192}
    for spec in specs:
        assert (spec.train.steps, spec.train.init) == (85_000, "scratch")
        options = spec.options
        assert (options["size"], options["images_per_caption"]) == (40_000_000, 4)
        # Batch norm in a projection head needs whole batches, and processes equal shares.
        assert spec.train.micro_batch is None
        check_batches(spec.train, needs_of(spec), spec.train.processes)


def test_table_5_has_the_images_of_table_2s_classes_and_backgrounds() -> None:
    """Tian 2023, table 5: all its rows are of IN+OurBG+LLM."""
    images = {canonical_json(s.options) for s in runs("synclr-table5") if s.source == "synthetic"}
    (one,) = images
    named = [spec for spec in runs("synclr-table2") if canonical_json(spec.options) == one]
    assert Counter(spec.objective for spec in named) == {"stablerep": 1, "synclr": 1}
    assert named[0].options["captions"]["kinds"] == {"background": 1.0}


@pytest.mark.parametrize("name", ["ssl-smoke", "superstablerep", "synclr-table5"])
def test_whole_blocks_of_captions_are_the_images_that_are_asked_for(name: str) -> None:
    """Else runs would take some of a larger set, and not all images of a caption."""
    for spec in runs(name):
        if spec.source == "synthetic":
            options = spec.options
            block = options["captions"]["block_size"] * options["images_per_caption"]
            assert options["size"] % block == 0
            assert spec.n in {None, options["size"]}


def test_superstablerep_has_its_authors_numbers_of_images() -> None:
    specs = [spec for spec in runs("superstablerep") if spec.source == "synthetic"]
    assert Counter(spec.objective for spec in specs) == {
        "stablerep": 3, "simclr": 3, "superstablerep": 6,
    }  # fmt: skip
    for spec in specs:
        assert (spec.n, spec.options["images_per_caption"]) == (90_000, 24)
        assert spec.options["captions"]["writer"] == "minimal-pairs"
        assert not spec.train.decay_norm_and_bias  # As in StableRep's code, which is theirs.
        assert needs_of(spec).per_group == (1 if spec.objective == "simclr" else 6)
        check_batches(spec.train, needs_of(spec), 1)


def test_the_transfer_suite_is_table_6_by_its_own_protocol() -> None:
    specs = runs("synclr-transfer")
    (table,) = tables("synclr-table6")
    named = {"Caltech-101": "caltech101", "Food-101": "food101"}
    columns = table.columns[table.columns.index("Aircraft") : -1]
    assert {spec.task for spec in specs} == {named.get(one, one.lower()) for one in columns}
    assert {spec.model for spec in specs} > set(RELEASED)
    assert {(spec.source, spec.n) for spec in specs} == {("none", 0)}
    header = (ROOT / "studies" / "synclr-transfer.yaml").read_text()
    for row in table.rows:
        numbers = " ".join(str(cell) for cell in row[6:])
        known = row[0] in ("SynCLR", "CLIP", "OpenCLIP")
        assert (numbers in " ".join(header.split())) == known, row
    for spec in specs:
        (probe,) = spec.evaluators.values()
        assert probe["features"] == "penultimate"
        assert (probe["normalise"], probe["rule"]) == ("standardise", "best")
    np.testing.assert_allclose(PENALTIES, np.logspace(-6, 5, 45))
    metrics = {name: tasks.get(name).metric for name in ("pets", "caltech101", "voc2007", "dtd")}
    assert list(metrics.values()) == [
        *["mean-per-class"] * 2, "mean-average-precision", "accuracy"
    ]  # fmt: skip
