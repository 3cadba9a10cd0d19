"""The cluster of the tests is a real one: jobs run, come back, and are accounted for."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import cluster
from tests.support.command_line import until

pytestmark = pytest.mark.slurm


@pytest.fixture(autouse=True)
def _cluster(slurm: Path) -> None:
    """Every test here needs it."""


def ask(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def state(job: str) -> str:
    """Return a job's state in `sacct`; empty until slurmdbd knows the job."""
    return ask("sacct", "-XnP", "-j", job, "-o", "State")


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[str]:
    """A job that writes each of its starts into a file and sleeps."""
    script = f"echo started >> {tmp_path}/starts; sleep 600"
    job = ask("sbatch", "--parsable", f"--output={tmp_path}/log", "--requeue", "--wrap", script)
    yield job
    ask("scancel", job)


def test_a_job_returns_its_result(tmp_path: Path) -> None:
    import submitit

    executor = submitit.AutoExecutor(folder=tmp_path, cluster="slurm")
    job = executor.submit(os.getenv, "SLURM_JOB_ID")
    assert job.result() == job.job_id
    until(lambda: state(job.job_id) == "COMPLETED")


def test_a_requeued_job_starts_again_within_seconds(sleeper: str, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    until(starts.exists)
    ask("scontrol", "requeue", sleeper)
    # By default it would wait 121 s.
    until(lambda: starts.read_text().count("started") == 2)


def test_accounting_knows_how_a_job_ended(sleeper: str) -> None:
    until(lambda: state(sleeper) == "RUNNING")
    ask("scancel", sleeper)
    until(lambda: state(sleeper).startswith("CANCELLED"))


def test_an_array_over_the_limit_is_refused(tmp_path: Path) -> None:
    words = ["sbatch", f"--output={tmp_path}/log", "--wrap", "true"]
    refused = subprocess.run([*words, "--array=0-9"], capture_output=True, text=True, check=False)
    assert "Invalid job array specification" in refused.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a cluster")
def test_starting_twice_at_once_changes_nothing() -> None:
    words = [sys.executable, cluster.__file__, "up"]
    before = (cluster.BASE / "processes.json").read_text()
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        printed, _ = process.communicate(timeout=60)
        assert printed == f"export SLURM_CONF={cluster.CONFIG}\n"
    assert (cluster.BASE / "processes.json").read_text() == before
