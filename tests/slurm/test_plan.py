"""The jobs that a study needs, and their order."""

from pathlib import Path
from typing import Any

import pytest

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.specs import RunSpec
from bench.core.work_selection import WorkSelection
from bench.planning.preset import resolve
from bench.steps.collect import collect_images
from bench.steps.prepare import with_fingerprints
from bench.storage.run_folder import write_spec
from bench.storage.stage import UnfinishedError
from slurm.job import execute
from slurm.plan import plan, report
from tests.conftest import Web

QUIET = Progress(quiet=True)
KINDS = ["scan", "download", "embed", "build", "run"]


@pytest.fixture
def spec_of(home: Home, preset: Path, web: Web) -> Any:
    def make(source: str, n: int | None = 20, task: str = "aircraft", **settings: Any) -> RunSpec:
        given = {name.replace("__", "."): value for name, value in settings.items()}
        if source == "retrieved":
            given |= {"source.pool": str(web.pool), "source.download.allow_private": [web.host]}
        return with_fingerprints(
            resolve(str(preset), task=task, source=source, n=n, settings=given), home
        )

    return make


def test_stages_come_before_runs_and_the_report_last(home: Home, spec_of: Any) -> None:
    specs = [spec_of("retrieved", n) for n in (10, 20)] + [spec_of("none", None)]
    planned = plan(specs, home, {"scan": {"workers": 3}}, QUIET)
    assert [array.kind for array in planned] == ["run", *KINDS]
    assert [len(array.tasks) for array in planned] == [1, 3, 8, 8, 1, 2]
    assert [array.after for array in planned] == [(), (), (1,), (2,), (3,), (4,)]
    # One set of images serves every n.
    assert report(planned, ["7"]).after == (0, 5)
    assert planned[1].tasks == [[specs[1].run_id]] * 3
    assert sorted(map(tuple, planned[5].tasks)) == sorted((spec.run_id,) for spec in specs[:2])
    assert not list(home.data.glob("scan-*"))


@pytest.mark.slow
def test_a_finished_stage_is_not_submitted(home: Home, spec_of: Any) -> None:
    spec = spec_of("retrieved")
    write_spec(home, spec)
    for done, kind in enumerate(KINDS[:-1], 1):
        execute(str(home.root), "study", kind, [spec.run_id])
        assert [array.kind for array in plan([spec], home, {}, QUIET)] == KINDS[done:]
    scan = WorkSelection(stages=frozenset({"scan"}))
    with pytest.raises(UnfinishedError):
        collect_images(spec_of("retrieved", source__download__shard_size=50), home, QUIET, scan)


def test_no_stage_has_more_jobs_than_shards(home: Home) -> None:
    # Two blocks of 256 captions, in shards of 128 images.
    spec = resolve(
        "mini", task="aircraft", source="synthetic", n=100, settings={"source.size": 512}
    )
    planned = plan([with_fingerprints(spec, home)], home, {}, QUIET)
    jobs = {array.kind: len(array.tasks) for array in planned}
    assert jobs == {"captions": 1, "generate": 4, "embed": 4, "build": 1, "run": 1}
    fewer = plan([with_fingerprints(spec, home)], home, {"generate": {"workers": 2}}, QUIET)
    assert {array.kind: len(array.tasks) for array in fewer}["generate"] == 2


def test_a_job_beyond_the_shards_that_a_scan_makes_known_does_nothing(
    home: Home,
    spec_of: Any,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    spec = spec_of("retrieved", source__download__shard_size=150)
    write_spec(home, spec)
    assert len(plan([spec], home, {}, QUIET)[1].tasks) == 8  # Not known yet.
    execute(str(home.root), "study", "scan", [spec.run_id])
    download, embed = plan([spec], home, {}, QUIET)[:2]
    shards = len(download.tasks)
    assert 1 < shards < 8
    assert len(embed.tasks) == shards
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(shards))
    for kind in ("download", "embed"):
        execute(str(home.root), "study", kind, [spec.run_id])
        assert f"other jobs of this array make all shards of {kind}" in capfd.readouterr().err
    assert not list(home.data.glob("download-*"))


def test_variants_of_one_source_share_its_arrays(home: Home, spec_of: Any) -> None:
    specs = [spec_of("retrieved", source__filter__tau=tau) for tau in (-1, 0.1)]
    planned = plan(specs, home, {}, QUIET)
    assert [array.kind for array in planned] == KINDS
    assert set(planned[0].tasks[0]) == {spec.run_id for spec in specs}


def test_a_job_executes_as_many_runs_as_its_profile_says(home: Home, spec_of: Any) -> None:
    specs = [spec_of("none", None, train__lr=rate) for rate in (1e-5, 1e-4, 1e-3)]
    [runs] = plan(specs, home, {"run": {"runs": 2}}, QUIET)
    assert [len(task) for task in runs.tasks] == [2, 1]
    assert {run for task in runs.tasks for run in task} == {spec.run_id for spec in specs}
    (run,) = plan(specs[:1], home, {}, QUIET)
    assert run.title == "mini-aircraft/none/0/0"


def test_runs_of_several_processes_are_an_array_of_their_own(home: Home, spec_of: Any) -> None:
    specs = [spec_of("none", None), spec_of("none", None, train__nodes=2, train__gpus_per_node=4)]
    planned = {(a.kind, a.nodes, a.processes) for a in plan(specs, home, {}, QUIET)}
    assert planned == {("run", 1, 1), ("run", 2, 4)}


def test_a_source_of_sources_waits_for_its_task_s_other_stages(home: Home, spec_of: Any) -> None:
    mixed = spec_of("mixed", source__parts={"real": 0.5, "retrieved": 0.5})
    specs = [mixed, spec_of("retrieved")]
    planned = plan(specs, home, {}, QUIET)
    build = next(array for array in planned if array.title.endswith("mixed/build"))
    assert [planned[index].title for index in build.after] == ["mini-aircraft/retrieved/build"]
