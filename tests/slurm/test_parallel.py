"""How many processes run a study side by side, and in which order each takes the runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.specs import RunSpec
from bench.planning.preset import resolve
from bench.runtime import threads
from bench.steps.prepare import all_with_fingerprints
from bench.storage.source_locks import is_collected_elsewhere, marked_as_collecting
from bench.storage.study_folder import StudyFolder, Submitted
from slurm.local import in_process
from slurm.parallel import PROCESS_BYTES, gpus, ordered, processes_for
from tests.conftest import Bench
from tests.support.command_line import write_study


def spec_of(
    preset: Path, task: Path | str, source: str, n: int | None, seed: int = 0, settings: Any = ()
) -> RunSpec:
    return resolve(str(preset), task=str(task), source=source, n=n, seed=seed, settings=settings)


@pytest.fixture
def five(preset: Path, colours: Path) -> list[RunSpec]:
    return [spec_of(preset, colours, "real", n) for n in range(4, 9)]


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a container's limits are read; it has none yet."""
    folder = tmp_path / "cgroup"
    folder.mkdir()
    monkeypatch.setattr(threads, "CGROUP", folder)
    return folder


@pytest.fixture
def three_cores(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not list(cgroup.iterdir())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1, 4, 5})
    with_memory(monkeypatch, 2**34)


def with_memory(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let the machine have some memory, in bytes."""
    pages = {"SC_PHYS_PAGES": size // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr("os.sysconf", pages.__getitem__)


@pytest.mark.usefixtures("three_cores")
def test_small_networks_have_a_process_a_core_and_never_more_than_runs(
    home: Home, five: list[RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [processes_for(five[:count], home) for count in (5, 2, 1)] == [3, 2, 1]
    with_memory(monkeypatch, 2**32)
    assert processes_for(five, home) == 2


@pytest.mark.usefixtures("three_cores")
@pytest.mark.parametrize(
    ("cpu", "memory", "processes"),
    [
        ("200000 100000\n", "max\n", 2),
        ("50000 100000\n", "max\n", 1),
        ("900000 100000\n", f"{2**40}\n", 3),
        ("max 100000\n", f"{2 * PROCESS_BYTES}\n", 2),
        ("max 100000\n", "1\n", 1),
        ("many", "\n", 3),
        ("200000 0", "-5", 3),
        ("200000", "\udcff", 3),
    ],
)
def test_a_container_has_the_processes_that_its_limits_allow(
    cpu: str, memory: str, processes: int, cgroup: Path, home: Home, five: list[RunSpec]
) -> None:
    (cgroup / "cpu.max").write_text(cpu)
    (cgroup / "memory.max").write_text(memory, errors="surrogateescape")
    assert processes_for(five, home) == processes


@pytest.mark.usefixtures("three_cores")
@pytest.mark.parametrize("setting", ["model", "source.filter.model"])
def test_one_large_network_has_all_cores(
    setting: str, home: Home, preset: Path, large_weights: Path
) -> None:
    large = {setting: str(large_weights)}
    specs = [spec_of(preset, "cars", "retrieved", n, settings=large) for n in (4, 5)]
    assert processes_for(specs, home) == 1


def test_gpus_have_a_process_each(
    home: Home, five: list[RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert processes_for(five, home) == 2


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        ("0,-1,1", ["0"]), ("-1", []), ("2, -1, 3", ["2"]), ("NoDevFiles", []),
        ("GPU-8932f937,5", ["GPU-8932f937", "5"]), ("", []),
    ],
)  # fmt: skip
def test_gpus_are_those_that_cuda_sees(
    named: str, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert gpus() == seen


def test_processes_begin_with_small_n_and_with_different_sources(preset: Path) -> None:
    specs = [
        spec_of(preset, "cars", source, n, seed)
        for source in ("retrieved", "real")
        for n in (None, 60, 9)
        for seed in (0, 1)
    ]
    specs.append(spec_of(preset, "cars", "none", 0))
    orders = [ordered(specs, place, 2) for place in (0, 1)]
    first, second = ([(spec.source, spec.n, spec.seed) for spec in order] for order in orders)
    assert first[:3] == [("none", 0, 0), ("retrieved", 9, 0), ("real", 9, 0)]
    assert second[:3] == [("real", 9, 0), ("retrieved", 9, 0), ("real", 9, 1)]
    assert {n for _, n, _ in first[-4:]} == {None}
    assert sorted(map(str, first)) == sorted(map(str, second))


def test_no_two_processes_begin_with_the_same_run(preset: Path) -> None:
    specs = [spec_of(preset, "cars", "real", n) for n in (30, 4, 5, 6)]
    orders = [ordered(specs, place, 4) for place in range(4)]
    assert [order[0].n for order in orders] == [4, 5, 6, 30]
    assert [spec.n for spec in orders[2]] == [6, 4, 5, 30]


def test_sources_that_others_collect_come_last(
    home: Home, preset: Path, colours: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home.make_writable()
    specs = [spec_of(preset, colours, "real", 6), spec_of(preset, colours, "none", 0)]
    specs = all_with_fingerprints(specs, home)
    study = StudyFolder(home, "here")
    runs = {spec.run_id: spec.source for spec in specs}
    study.submit(Submitted(name="here", runs=runs, on="debug"))
    with marked_as_collecting(specs[0], home):
        assert [is_collected_elsewhere(spec, home) for spec in specs] == [True, False]
        in_process(specs, study, Progress())
    finished = {
        spec.source: (home.run(spec.run_id) / "record.json").stat().st_mtime_ns for spec in specs
    }
    assert finished["none"] < finished["real"]
    assert not is_collected_elsewhere(specs[0], home)
    capfd.readouterr()


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "used"), [(None, "1 thread"), ("2", "2 threads")])
def test_a_study_runs_in_processes_of_one_thread(
    setting: str | None,
    used: str,
    bench: Bench,
    home: Home,
    tmp_path: Path,
    preset: Path,
    colours: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if setting:
        monkeypatch.setenv("OMP_NUM_THREADS", setting)
    axes = {"task": [str(colours)], "source": ["real"], "n": [6, 7]}
    study = write_study(tmp_path, preset, axes, name="here", epochs=2)
    assert bench("sweep", str(study), "--parallel", "auto").code == 0
    records = [json.loads(path.read_text()) for path in home.runs.glob("*/record.json")]
    assert [f"CPU, {used}, " in record["device"] for record in records] == [True, True]
    assert len(list((home.root / "studies" / "here" / "jobs").glob("*_result.pkl"))) >= 1
