"""Jobs that do not start by themselves: said for what they are, and started by a retry."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from tests.slurm import cluster
from tests.slurm.studies import Lab, until

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow(minutes=1),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root drains a node"),
]

COULD_NOT_START = "launch failed requeued held"


@pytest.fixture
def lab(slurm: Path, tmp_path: Path, preset: Path, colours: Path) -> Iterator[Lab]:
    assert slurm.is_file()
    lab = Lab(tmp_path / "home", preset, colours)
    yield lab
    for study in ("one", "pair"):
        lab.call("cancel", study)


def ask(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def reason(job: str) -> str:
    return ask("squeue", "--noheader", f"--jobs={job}", "--format=%r")


@pytest.fixture
def node(slurm: Path) -> str:
    assert slurm.is_file()
    return ask("sinfo", "--noheader", "--format=%n").split()[0]


@contextmanager
def drained(node: str) -> Iterator[None]:
    """Start no job in the block.

    Parallel test processes take turns: a node that another one has resumed cannot be resumed again.
    """
    with FileLock(Path(tempfile.gettempdir()) / f"bench-test-drained-{node}.lock"):
        ask("scontrol", "update", f"NodeName={node}", "State=drain", "Reason=test")
        try:
            yield
        finally:
            ask("scontrol", "update", f"NodeName={node}", "State=resume")


def study_of_one(lab: Lab) -> Path:
    return lab.write("one", {"source": ["none"], "n": ["all"]})


def fates(lab: Lab, name: str) -> dict[str, list[str]]:
    """Return fate to jobs, as `bench status` says them."""
    groups = lab.call("status", name, "--json").json["waiting"]
    return {group["fate"]: group["jobs"] for group in groups}


def submitted(lab: Lab, name: str) -> dict[str, list[str]]:
    """Return kind to numbers of all arrays that were ever submitted."""
    numbers: dict[str, list[str]] = {}
    for path in sorted((lab.home / "studies" / name / "arrays").glob("*.json")):
        text = path.read_text()
        kind, job = (re.search(rf'"{key}": ?"(\w+)"', text) for key in ("kind", "job"))
        assert kind
        assert job
        numbers.setdefault(kind[1], []).append(job[1])
    return numbers


@contextmanager
def unstartable(job: str) -> Iterator[None]:
    """Let slurmd fail to start a job in the block: its folder cannot be made."""
    obstacle = cluster.BASE / "slurmd" / f"job{int(job):05d}"
    obstacle.touch()
    try:
        yield
    finally:
        obstacle.unlink()


def test_a_job_that_slurm_could_not_start_is_released_by_a_retry(lab: Lab, node: str) -> None:
    with ExitStack() as obstacles:
        with drained(node):
            assert lab.sweep(study_of_one(lab)).code == 0
            [job] = submitted(lab, "one")["run"]
            [report] = submitted(lab, "one")["report"]
            until(lambda: fates(lab, "one") == {"site": [job], "passes": [report]})
            status = lab.call("status", "one").out
            # Slurm has two reasons for it, and gives now one, now the other.
            assert "1 job waits: nodes are down, drained or reserved (" in status
            assert "bench retry one --slurm partition=NAME" in status
            obstacles.enter_context(unstartable(job))
        until(lambda: reason(job) == COULD_NOT_START)
    [row] = lab.rows("one")
    assert row["state"] == "held"
    assert row["note"] == f"held, as Slurm could not start it ({COULD_NOT_START})"
    assert fates(lab, "one") == {"held": [job], "blocked": [report]}
    assert (
        f"({COULD_NOT_START}); release with `bench retry one`" in lab.sweep(study_of_one(lab)).out
    )
    waited = lab.sweep(study_of_one(lab), "--wait")
    assert waited.code == 1
    assert "no job will start by itself: 1 job waits: held, as Slurm" in waited.err

    done = lab.call("retry", "one", "--failed", "--wait")
    assert done.code == 0, done.err
    assert "released: 1 job that Slurm held" in done.out
    assert lab.states("one") == ["done"]
    # It was released, and nothing was submitted besides.
    assert submitted(lab, "one") == {"run": [job], "report": [report]}
    assert lab.log(row["run_id"]).count("===") == 1


def test_jobs_that_can_never_start_are_submitted_anew_once(lab: Lab, node: str) -> None:
    study = lab.write("pair", {"source": ["none"], "n": ["all"], "seed": [0, 1]})
    failed = ask("sbatch", "--parsable", "--output=/dev/null", "--wrap=exit 1")
    until(lambda: failed not in ask("squeue", "--noheader", "--format=%i").split())
    with drained(node):
        assert lab.sweep(study).code == 0
        [job] = submitted(lab, "pair")["run"]
        ask("scontrol", "update", f"JobId={job}", f"Dependency=afterok:{failed}")
        both = [f"{job}_0", f"{job}_1"]
        until(lambda: fates(lab, "pair").get("never") == both)
        assert lab.states("pair") == ["held", "held"]
        assert "that cannot come (DependencyNeverSatisfied); submit anew" in (
            lab.call("status", "pair").out
        )
        done = lab.call("retry", "pair", "--failed")
        assert done.code == 0, done.err
        assert "cancelled: 3 jobs that could never start, or waited for such" in done.out
        left = set(ask("squeue", "--me", "--noheader", "--format=%F").split())
        old, new = submitted(lab, "pair")["run"], submitted(lab, "pair")["report"]
        assert job not in left
        assert len(left & {*old, *new}) == 2
    until(lambda: lab.states("pair") == ["done", "done"])
    for row in lab.rows("pair"):
        assert lab.log(row["run_id"]).count("===") == 1


def test_a_job_that_may_not_be_released_stays_held_and_that_is_said(
    lab: Lab, node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # scontrol as another user: Slurm refuses, as it does for what an administrator holds.
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    real = shutil.which("scontrol")
    scontrol.write_text(f'#!/bin/sh\nexec setpriv --reuid=nobody --clear-groups {real} "$@"\n')
    scontrol.chmod(0o755)
    with drained(node):
        assert lab.sweep(study_of_one(lab)).code == 0
        [job] = submitted(lab, "one")["run"]
        ask("scontrol", "hold", job)
        with monkeypatch.context() as patch:
            patch.setenv("PATH", f"{scontrol.parent}:{os.environ['PATH']}")
            refused = lab.call("retry", "one")
        assert refused.code == 1
        assert f"Slurm still holds 1 job, {job} first" in refused.err
        assert "Invalid user id; ask the site's administrators" in refused.err
        assert submitted(lab, "one")["run"] == [job]


def test_held_jobs_are_cancelled_with_their_study(lab: Lab, node: str) -> None:
    with drained(node):
        assert lab.sweep(study_of_one(lab)).code == 0
        [job] = submitted(lab, "one")["run"]
        ask("scontrol", "hold", job)
        until(lambda: lab.states("one") == ["held"])
        assert "2 jobs cancelled" in lab.call("cancel", "one").out
    assert job not in ask("squeue", "--noheader", "--format=%i").split()
    assert lab.states("one") == ["to do"]


def test_jobs_of_a_controller_that_does_not_answer_are_not_gone(
    lab: Lab, node: str, slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with drained(node):
        assert lab.sweep(study_of_one(lab)).code == 0
        [job] = submitted(lab, "one")["run"]
        unreachable = tmp_path / "slurm.conf"
        unreachable.write_text(f"{slurm.read_text()}\nSlurmctldPort=1\n")
        with monkeypatch.context() as patch:
            patch.setenv("SLURM_CONF", str(unreachable))
            [row] = lab.rows("one")
            assert (row["state"], row["note"]) == ("unknown", f"job {job} may be in Slurm's queue")
            assert "Slurm's queue is unknown" in lab.call("status", "one").out
            retried = lab.call("retry", "one")
            assert retried.code == 1
            assert "Unable to contact slurm controller" in retried.err
        assert submitted(lab, "one")["run"] == [job]


@pytest.mark.parametrize("setting", ["SQUEUE_STATES=RUNNING", "SQUEUE_PARTITION=scavenge"])
def test_settings_of_squeue_hide_no_job(
    setting: str, lab: Lab, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, value = setting.split("=")
    monkeypatch.setenv(name, value)
    with drained(node):
        assert lab.sweep(study_of_one(lab)).code == 0
        assert lab.states("one") == ["queued"]
        assert "nothing is missing" in lab.sweep(study_of_one(lab)).out
        assert len(submitted(lab, "one")["run"]) == 1
