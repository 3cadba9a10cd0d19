"""A run that Slurm interrupts ends with the result of an undisturbed one."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.slurm.studies import Lab, result, until

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture
def lab(slurm: Path, tmp_path: Path, preset: Path, colours: Path) -> Lab:
    assert slurm.is_file()
    return Lab(tmp_path / "home", preset, colours)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, preset: Path, colours: Path) -> Lab:
    """The same runs in one process, without interruption."""
    lab = Lab(tmp_path_factory.mktemp("undisturbed") / "home", preset, colours)
    assert lab.call("sweep", str(long_study(lab))).code == 0
    return lab


def long_study(lab: Lab) -> Path:
    return lab.write("long", {"source": ["real"], "n": [24]}, **{"train.epochs": 1500})


def trains(lab: Lab) -> bool:
    """Return whether a run trains, so that there is something to lose."""
    row = lab.rows("long")[0]
    return row["state"] == "running" and "epoch" in row["note"]


def hold(job: str) -> None:
    """Stop the processes of a job's step, which this machine executes.

    Slurm continues them when it sends them a signal.
    """
    asked = ["scontrol", "listpids", job]
    listed = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    steps = [line.split()[:3] for line in listed.splitlines()[1:]]
    held = [int(pid) for pid, _, step in steps if step == "0"]
    assert held
    for pid in held:
        os.kill(pid, signal.SIGSTOP)


def compare(lab: Lab, undisturbed: Lab, run_id: str) -> None:
    assert result(lab.record(run_id)) == result(undisturbed.record(run_id))


def test_a_requeued_run_continues(lab: Lab, undisturbed: Lab) -> None:
    assert lab.sweep(long_study(lab)).code == 0
    [row] = lab.rows("long")
    until(lambda: trains(lab))
    job = lab.rows("long")[0]["job"]
    subprocess.run(["scontrol", "requeue", job], check=True)
    until(lambda: lab.log(row["run_id"]).count("===") == 2)
    until(lambda: lab.states("long") == ["done"])
    compare(lab, undisturbed, row["run_id"])


def test_a_run_that_reaches_its_time_limit_continues(lab: Lab, undisturbed: Lab) -> None:
    # A minute is Slurm's shortest limit; it warns half a minute before.
    study = long_study(lab)
    assert lab.sweep(study, "--slurm", "run.time=1m", "--slurm", "run.signal=30").code == 0
    [row] = lab.rows("long")
    until(lambda: trains(lab))
    hold(lab.rows("long")[0]["job"])  # Or a fast machine would be done before the warning.
    until(lambda: lab.log(row["run_id"]).count("===") > 1)
    until(lambda: lab.states("long") == ["done"])
    compare(lab, undisturbed, row["run_id"])
    assert "failed" not in lab.log(row["run_id"])


def test_a_preempted_run_continues(lab: Lab, undisturbed: Lab) -> None:
    # Of the one seat both jobs need; the jobs of other tests neither wait nor make them wait.
    scavenging = ("--slurm", "run.partition=scavenge", "--slurm", "run.extra.gres=seat:1")
    assert lab.sweep(long_study(lab), *scavenging).code == 0
    [row] = lab.rows("long")
    until(lambda: trains(lab))
    urgent = ["sbatch", "--parsable", "--gres=seat:1", "--output=/dev/null", "--wrap=sleep 5"]
    subprocess.run(urgent, check=True, capture_output=True)
    until(lambda: lab.log(row["run_id"]).count("===") == 2)
    until(lambda: lab.states("long") == ["done"])
    compare(lab, undisturbed, row["run_id"])
