"""The options of Slurm jobs, and the sbatch script that they become."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.storage.study_folder import Array, StudyFolder
from slurm import submit
from slurm.options import KINDS, JobOptions, options_of, parameters, read_profile
from slurm.plan import PlannedArray, batches

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("written", "minutes"),
    [
        ("90m", 90),
        ("12h", 720),
        ("2d", 2880),
        ("04:00:00", 240),
        ("12:00:00", 720),
        ("1-12:00:00", 2160),
    ],
)
def test_times_are_minutes(written: str, minutes: int) -> None:
    profile = read_profile(None, [f"time={written}"])
    assert options_of(profile, "run").minutes == minutes


@pytest.mark.parametrize("written", ["soon", "0m", 90, "-3m", "4:00", "1-2", "3w", "1.5h"])
def test_other_times_are_refused(written: Any) -> None:
    with pytest.raises(RequestError, match="time"):
        read_profile(None, [f"time={written}"])


@given(st.integers(0, 30), st.integers(0, 23), st.integers(2, 59), st.integers(1, 59))
def test_a_clock_time_is_never_cut_short(days: int, hours: int, minutes: int, seconds: int) -> None:
    options = JobOptions(time=f"{days}-{hours:02}:{minutes:02}:{seconds:02}")
    assert options.minutes == (days * 24 + hours) * 60 + minutes + 1


def test_a_kind_of_job_asks_for_the_defaults_and_its_own(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(
        "default: {partition: gpu, cpus: 8, time: 4h}\nscan: {partition: cpu}\nrun: {gpus: 2}\n"
    )
    profile = read_profile(path, ["account=vision", "run.time=12h"])
    scan, generate, run = (options_of(profile, kind) for kind in ("scan", "generate", "run"))
    assert (scan.partition, scan.gpus, scan.minutes) == ("cpu", 0, 240)
    assert (generate.partition, generate.gpus, generate.minutes) == ("gpu", 1, 240)
    assert (run.partition, run.gpus, run.minutes) == ("gpu", 2, 720)
    assert {options_of(profile, kind).account for kind in KINDS} == {"vision"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("run: {partitoin: gpu}", "did you mean partition"),
        ("rnu: {partition: gpu}", "did you mean run"),
        ("run: gpu", "not a mapping"),
        ("default: {gpus: -1}", "gpus"),
        ("default: {mem: lots}", "mem"),
        ('default: {partition: "gpu\\n#SBATCH --uid=0"}', "partition"),
        ("default: {signal: 0}", "signal"),
        ("run: {time: 1m}", "signal=90"),
        ("run: {extra: {array: 0-3}}", "array"),
        ("[]", "mapping"),
    ],
)
def test_a_wrong_profile_is_one_line(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(content)
    with pytest.raises(RequestError, match=why) as caught:
        read_profile(path, [])
    assert "\n" not in str(caught.value)


def test_a_run_of_several_processes_asks_for_a_gpu_each() -> None:
    values = parameters(JobOptions(), nodes=2, processes=8)
    assert (values["nodes"], values["ntasks_per_node"], values["gpus_per_node"]) == (2, 8, 8)
    assert "gpus_per_node" not in parameters(JobOptions(gpus=0), nodes=2, processes=8)
    assert parameters(JobOptions(gpus=3))["gpus_per_node"] == 3


@pytest.fixture
def detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that looks as if Slurm were there, as submitit looks no further than this."""
    program = tmp_path / "bin" / "srun"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


@pytest.mark.usefixtures("detected")
def test_the_sbatch_text_is_as_it_was(tmp_path: Path) -> None:
    settings = "partition=gpu account=vision qos=normal constraint=a100 cpus=8 mem=48G time=4h"
    more = ["run.signal=120", "run.extra={reservation: spring}", "setup=[module load cuda]"]
    profile = read_profile(None, [*settings.split(), *more])
    tasks = [["a"], ["b"], ["c"]]
    planned = PlannedArray("run", "aircraft/retrieved/run", tasks, nodes=2, processes=8)
    study = StudyFolder(Home(Path("/home/of/results")), "figure2")
    parameters = submit.job_parameters(planned, profile, Path("/code"), ["11", "12"], 2)
    executor = submit.executor_of(study, "run", profile)
    executor.update_parameters(**parameters, comment="bench:0123456789ab")
    executor.parameters["map_count"] = len(tasks)  # as submitit does for an array
    text = executor._make_submission_file_text("COMMAND", "")
    assert text == (GOLDEN / "run.sbatch").read_text()


def test_arrays_are_no_larger_than_the_site_allows() -> None:
    tasks = [[str(task)] for task in range(20)]
    parts = list(batches(tasks, 9))
    assert [len(part) for part in parts] == [9, 9, 2]
    assert [task for part in parts for task in part] == tasks
    assert Array(kind="run", title="", tasks=parts[0], job="7").job_of(3) == "7_3"
    assert Array(kind="run", title="", tasks=[["x"]], job="7").job_of(0) == "7"
