"""Images of no class of the task: from captions to subsets, batches, exports and the report."""

from collections import Counter
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
import yaml

from adapt.batches.groups import grouped
from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.progress import Progress
from bench.core.task import NO_LABEL
from bench.exports.export import export_images
from bench.exports.formats import Format
from bench.exports.found import find_images
from bench.plugins import objective_of, source_of
from bench.plugins.objective import Needs
from bench.plugins.optional import ChecksTask, HasOthers
from bench.storage.image_set import ImageSet
from results.report.image_sets import audits
from tests.conftest import Bench
from tests.support.command_line import refusal
from tests.support.tiny_clip import colour_task
from tests.support.tiny_generation import World

TASK = colour_task()


@pytest.fixture
def own(tmp_path: Path) -> Json:
    """Options of captions about one class and two other things."""
    path = tmp_path / "concepts.yaml"
    path.write_text("concepts: [{name: [red, oak, fox]}]")
    return {"captions__concepts": str(path), "phrases": "mini"}


def needs_of(objective: str) -> Needs:
    return objective_of(objective, {}).needs


def test_a_set_counts_them_apart_and_takes_them_by_turns(world: World, own: Json) -> None:
    images = world.collect(20, **own)
    rows = images.index()
    assert set(rows["class_name"]) == {"red", "oak", "fox"}
    assert (rows["label"] == NO_LABEL).equals(rows["class_name"].is_in(["oak", "fox"]))
    manifest, others = images.manifest, int((rows["label"] == NO_LABEL).sum())
    assert manifest.counts == {"red": rows.height - others, "green": 0, "blue": 0}
    assert (manifest.others, len(images)) == (others, rows.height)
    steps = manifest.stage_counts
    assert steps["others"]["kept"] == others
    asked = steps["others"]["matched"] + sum(one["matched"] for one in steps["classes"].values())
    assert asked == steps["matched"]
    assert ImageSet.open(images.folder, images.data) == images
    balanced = images.select(6, 0, "balanced")
    assert Counter(balanced["label"]) == {0: 3, NO_LABEL: 3}


def test_a_set_without_them_says_nothing_of_them(world: World) -> None:
    images = world.collect(phrases="mini")
    assert "others" not in (images.folder / "manifest.json").read_text()
    assert "others" not in images.manifest.stage_counts


def test_objectives_of_classes_refuse_them_and_others_take_them(world: World, own: Json) -> None:
    rows = world.collect(8, **own).index()
    refused = set()
    for name in ("ce", "supcon", "simclr", "stablerep", "superstablerep", "clip"):
        try:
            grouped(rows, needs_of(name))
        except RequestError as error:
            refused |= {name} if "of no class of the task" in str(error) else set()
    assert refused == {"ce", "supcon"}
    labelled = rows.filter(pl.col("label") != NO_LABEL)
    assert len(grouped(labelled, needs_of("ce")).groups) == labelled.height


@pytest.mark.parametrize("rule", ["class-threshold", "top-fraction"])
def test_a_filter_by_class_refuses_them(world: World, own: Json, rule: str) -> None:
    source = source_of("synthetic", world.settings(**own, rule=rule))
    assert isinstance(source, ChecksTask)
    with pytest.raises(RequestError, match=f"{rule} looks at each image's class"):
        source.check(TASK)
    with pytest.raises(RequestError, match=f"{rule} looks at each image's class"):
        source.collect(world.context(4))


def test_a_filter_by_the_domain_scores_them(world: World, own: Json) -> None:
    images = world.collect(4, **own, rule="threshold", tau=-1)
    assert images.index()["clip_score"].null_count() == 0
    assert (images.folder / "filtered.png").is_file()


def test_sources_of_such_sources_say_so(world: World, own: Json) -> None:
    inner = world.settings(**own)
    usual = world.settings(phrases="mini")
    mixed = {"parts": {"synthetic": 1}, "options": {"synthetic": inner}}
    of: Json = {"of": "synthetic", "steps": 10, "strength": 0.5}
    denoised = world.settings(source="denoised", **of, options={"synthetic": inner})
    for name, options in (("synthetic", inner), ("mixed", mixed), ("denoised", denoised)):
        source = source_of(name, options)
        assert isinstance(source, HasOthers)
        assert source.others(TASK)
    mixed["options"] = {"synthetic": usual}
    denoised = world.settings(source="denoised", **of, options={"synthetic": usual})
    for name, options in (("synthetic", usual), ("mixed", mixed), ("denoised", denoised)):
        source = source_of(name, options)
        assert isinstance(source, HasOthers)
        assert not source.others(TASK)


def test_they_are_denoised_by_their_own_names(world: World, own: Json) -> None:
    options: Json = {"of": "synthetic", "steps": 10, "strength": 0.5, "size": 6}
    options |= {"options": {"synthetic": world.settings(**own)}, "template": "one {}"}
    images = source_of("denoised", world.settings(source="denoised", **options))
    rows = images.collect(world.context(None)).index()
    assert rows["caption"].to_list() == [f"one {name}" for name in rows["class_name"]]
    assert {NO_LABEL} < set(rows["label"])


def test_captions_of_nobody_knows_what_make_images_without_names(
    world: World, tmp_path: Path
) -> None:
    path = tmp_path / "cc.csv"
    path.write_text("caption\n" + "".join(f"a view of {n}\n" for n in range(40)))
    file: Json = {"writer": "file", "captions__options": {"path": str(path), "labelled": False}}
    inner = world.settings(**file)
    images = source_of("synthetic", inner).collect(world.context(4))
    assert set(images.index()["class_name"]) == {""}
    assert images.manifest.others == len(images)
    of: Json = {"of": "synthetic", "steps": 10, "strength": 0.5, "size": 4}
    denoised: Any = world.settings(source="denoised", **of, options={"synthetic": inner})
    with pytest.raises(RequestError, match=r"source\.prompt=caption"):
        source_of("denoised", denoised).collect(world.context(None))


@pytest.mark.parametrize("kind", get_args(Format))
def test_an_export_keeps_them_apart(world: World, own: Json, tmp_path: Path, kind: Format) -> None:
    images = world.collect(12, **own)
    export_images(
        find_images(str(images.folder), world.home), kind, tmp_path / kind, "unknown",
        Progress(quiet=True),
    )  # fmt: skip
    card = (tmp_path / kind / "README.md").read_text()
    labelled, others = images.manifest.counts["red"], images.manifest.others
    assert f"| -1 | of no class | {others} |" in card
    assert f"\n{labelled} images of 1 of 3 classes and {others} of no class." in card
    if kind == "imagefolder":
        found = Counter(path.parent.name for path in (tmp_path / kind).glob("*/*.png"))
        assert found == {"red": images.manifest.counts["red"], "others": images.manifest.others}


def test_the_report_has_a_row_of_them(world: World, own: Json) -> None:
    import pandas as pd

    images = world.collect(12, **own)
    used = pd.DataFrame([("arm", "synthetic", images.manifest.content)])
    [shown] = audits(world.home, used)
    header, *rows = shown["classes"]
    assert rows[-1][0] == "of no class"
    assert rows[-1][header.index("kept")] == str(images.manifest.others)
    assert [row[0] for row in rows[:-1]] == list(TASK.class_names)


def test_rows_of_the_report_are_whole_where_the_first_class_has_no_image(
    world: World, own: Json, tmp_path: Path
) -> None:
    import pandas as pd

    (tmp_path / "concepts.yaml").write_text("concepts: [{name: [blue, oak]}]")
    images = world.collect(12, **own)
    used = pd.DataFrame([("arm", "synthetic", images.manifest.content)])
    [shown] = audits(world.home, used)
    header, *rows = shown["classes"]
    assert {len(row) for row in rows} == {len(header)}
    assert [row[header.index("truncated")] for row in rows] == ["0"] * 4
    assert [row[header.index("matched")] for row in rows][:2] == ["0", "0"]


def test_a_run_that_needs_classes_ends_before_any_work(
    bench: Bench, world: World, own: Json, tmp_path: Path
) -> None:
    concepts = f"captions.concepts={own['captions__concepts']}"
    told = refusal(bench, world.home, "synthetic", concepts)
    assert "may be of no class of task mini-aircraft, and the objective ce needs a class" in told
    assert "use --objective stablerep" in told
    (tmp_path / "cc.csv").write_text("caption\na view\n")
    settings = ["captions.writer=file", f"captions.options.path={tmp_path / 'cc.csv'}"]
    told = refusal(bench, world.home, "synthetic", *settings, "captions.options.labelled=false")
    assert "the objective ce needs a class for each" in told


def test_they_are_built_whatever_the_objective_of_a_run(
    bench: Bench, world: World, own: Json, tmp_path: Path
) -> None:
    path = tmp_path / "few.yaml"
    options = yaml.safe_dump({"extends": "mini", "sources": {"synthetic": world.settings(**own)}})
    path.write_text(options)
    words = ["build", "--preset", str(path), "--source", "synthetic", "--task", "aircraft"]
    done = bench(*words, "--n", "2")
    assert done.code == 0, done.err
    assert " images of synthetic for mini-aircraft: " in done.out
