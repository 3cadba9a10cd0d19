"""Studies as Slurm jobs: arrays and their order, failures, retries, cancelling, two at once."""

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Web
from tests.slurm.studies import JOBS, Lab, result, until
from tests.support.command_line import DIVERGING

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture
def lab(slurm: Path, tmp_path: Path, preset: Path, colours: Path) -> Lab:
    assert slurm.is_file()
    return Lab(tmp_path / "home", preset, colours)


def ask(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def numbers(out: str) -> dict[str, str]:
    """Return title to number of the arrays that a sweep submitted."""
    return {title: job for job, title in re.findall(r"^(\d+)  (\S+): \d+ jobs?$", out, re.M)}


def test_a_study_becomes_arrays_in_order_and_comes_to_the_same_results(
    lab: Lab, web: Web, tmp_path: Path
) -> None:
    pool: dict[str, Any] = {
        "source.pool": str(web.pool),
        "source.download.allow_private": [web.host],
    }
    study = lab.write(
        "ordered",
        {
            "source": ["retrieved"],
            "n": [20, 40],
            "task": ["aircraft"],
            **{k: [v] for k, v in pool.items()},
        },
        {"source": ["none"], "n": ["all"]},
    )
    done = lab.sweep(study, "--slurm", "workers=2", "--wait")
    assert done.code == 0, done.err
    assert "3 of 3 runs are done" in done.out
    jobs = numbers(done.out)
    arm = "mini-aircraft/retrieved"
    ends = {title: ended(job) for title, job in jobs.items()}
    order = [f"{arm}/{kind}" for kind in ("scan", "download", "embed", "build", "run")]
    for first, second in zip(order, [*order[1:], "report"], strict=False):
        assert ends[first][1] <= ends[second][0], (first, second)
    assert (lab.home / "report" / "report.html").is_file()
    # Nothing is left to submit but another report of nothing new.
    again = lab.sweep(study)
    assert "nothing is missing" in again.out
    alone = Lab(tmp_path / "alone", lab.preset, lab.task)
    assert alone.call("sweep", str(study)).code == 0
    for row in lab.rows("ordered"):
        assert result(lab.record(row["run_id"])) == result(alone.record(row["run_id"]))


def ended(job: str) -> tuple[str, str]:
    """Return when the first job of an array started and the last ended."""
    lines = until(lambda: complete(ask("sacct", "-XnP", "-j", job, "-o", "Start,End,State")))
    return min(line[0] for line in lines), max(line[1] for line in lines)


def complete(text: str) -> list[list[str]] | None:
    lines = [line.split("|") for line in text.splitlines()]
    return lines if lines and all("COMPLETED" in line[2] for line in lines) else None


def test_a_failing_run_among_good_ones_is_retried_alone(lab: Lab) -> None:
    rates = {"train.lr": [1e-3, DIVERGING]}
    study = lab.write("mixed", {"source": ["real"], "n": [24], "seed": [0], **rates})
    assert lab.sweep(study).code == 0
    until(lambda: sorted(lab.states("mixed")) == ["done", "failed"])
    failed = next(row for row in lab.rows("mixed") if row["state"] == "failed")
    assert "train.lr" in failed["note"]
    assert failed["note"] in lab.log(failed["run_id"])
    # Slurm's own account shows it too.
    job = job_numbers(lab, "mixed")
    until(lambda: "FAILED" in ask("sacct", "-XnP", "-j", job, "-o", "State"))
    before = lab.record(next(r["run_id"] for r in lab.rows("mixed") if r["state"] == "done"))
    again = lab.call("retry", "mixed", "--failed")
    assert [title for title in numbers(again.out) if title != "report"] == ["colours/real/24/0"]
    until(lambda: sorted(lab.states("mixed")) == ["done", "failed"])
    assert lab.record(before["run_id"]) == before


def job_numbers(lab: Lab, name: str) -> str:
    arrays = (lab.home / "studies" / name / "arrays").glob("*.json")
    numbers = re.findall(r'"job": "(\d+)"', "".join(path.read_text() for path in arrays))
    return ",".join(numbers)


def test_three_equal_errors_pause_a_study(lab: Lab) -> None:
    rates = [number * DIVERGING for number in (1, 2, 3, 4, 5)]
    study = lab.write("paused", {"source": ["real"], "n": [24], "train.lr": [*rates, 1e-3]})
    assert lab.sweep(study, "--parallel", "1").code == 0
    until(
        lambda: (
            "paused" not in queue()
            and "report" not in queue()
            and lab.call("status", "paused").out.count("failed") > 2
        )
    )
    status = lab.call("status", "paused").out
    assert "on hold: 3 runs failed" in status
    assert sorted(lab.states("paused")) == ["failed"] * 3 + ["to do"] * 3
    refused = lab.sweep(study)
    assert refused.code == 2
    assert "bench retry paused --failed" in refused.complaint


def test_a_pool_that_ends_fails_no_job(lab: Lab) -> None:
    study = lab.write(
        "ends",
        {"source": ["real"], "n": [90, 91, 92, 6]},
        {"source": ["real"], "n": [93], "train.gpus_per_node": [2]},
    )
    done = lab.sweep(study, "--wait")
    assert done.code == 0, done.err
    assert sorted(lab.states("ends")) == ["done", *["too few images"] * 4]
    ended_as = until(lambda: ask("sacct", "-XnP", "-j", job_numbers(lab, "ends"), "-o", "State"))
    assert set(ended_as.split()) == {"COMPLETED"}
    assert "nothing is missing" in lab.sweep(study).out


def queue() -> str:
    return ask("squeue", "--noheader", "--format=%j")


def test_a_killed_run_shows_as_failed_and_a_retry_continues_it(lab: Lab, tmp_path: Path) -> None:
    study = lab.write("killed", {"source": ["real"], "n": [24]}, **{"train.epochs": 400})
    assert lab.sweep(study).code == 0
    run_id = lab.rows("killed")[0]["run_id"]
    path = lab.home / "runs" / run_id / "heartbeat.json"
    pid = until(lambda: path.is_file() and re.search(r'"pid": ?(\d+)', path.read_text()))
    os.kill(int(pid[1]), signal.SIGKILL)
    row = until(lambda: [row for row in lab.rows("killed") if row["state"] == "failed"])[0]
    assert "ended without a record" in row["note"]
    assert lab.call("retry", "killed", "--failed", "--wait").code == 0
    assert lab.log(run_id).count("===") == 2
    alone = Lab(tmp_path / "alone", lab.preset, lab.task)
    assert alone.call("sweep", str(study)).code == 0
    assert result(lab.record(run_id)) == result(alone.record(run_id))


def test_a_cancelled_study_starts_nothing_and_can_be_continued(lab: Lab) -> None:
    study = lab.write("cancelled", {"source": ["real"], "n": [6], "seed": [0, 1, 2]})
    assert lab.sweep(study, "--parallel", "1").code == 0
    done = lab.call("cancel", "cancelled")
    assert done.code == 0
    until(lambda: not any(state in ("running", "queued") for state in lab.states("cancelled")))
    assert "on hold: cancelled" in lab.call("status", "cancelled").out
    assert "done" not in lab.states("cancelled")[1:]
    assert lab.sweep(study, "--wait").code == 0
    assert lab.states("cancelled") == ["done"] * 3


def test_an_array_larger_than_slurm_allows_becomes_several(lab: Lab) -> None:
    study = lab.write("large", {"source": ["none"], "n": ["all"], "seed": list(range(11))})
    done = lab.sweep(study, "--wait")
    assert done.code == 0, done.err
    arrays = re.findall(r"^\d+  \S+/none/run: (\d+) jobs$", done.out, re.M)
    assert sorted(map(int, arrays)) == [2, 9]
    assert "11 of 11 runs are done" in done.out


def test_two_sweeps_at_once_do_no_run_twice(lab: Lab) -> None:
    study = lab.write("twice", {"source": ["none"], "n": ["all"], "seed": [0, 1, 2]})
    both = [lab.start("sweep", str(study), *JOBS) for _ in range(2)]
    outs = [process.communicate(timeout=600)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("nothing is missing" in out for out in outs) == 1
    until(lambda: lab.states("twice") == ["done"] * 3)
    for row in lab.rows("twice"):
        assert lab.log(row["run_id"]).count("===") == 1


def test_two_processes_train_one_run(lab: Lab, tmp_path: Path) -> None:
    grid = {"source": ["real"], "n": [24], "train.gpus_per_node": [2]}
    study = lab.write("pair", grid)
    done = lab.sweep(study, "--wait")
    assert done.code == 0, done.err + lab.log(lab.rows("pair")[0]["run_id"])
    [row] = lab.rows("pair")
    record = lab.record(row["run_id"])
    assert record["processes"] == 2
    alone = Lab(tmp_path / "alone", lab.preset, lab.task)
    same = alone.write("same", {"source": ["real"], "n": [24]})
    assert alone.call("sweep", str(same)).code == 0
    single = alone.record(alone.rows("same")[0]["run_id"])
    pairs = zip(record["selection"]["history"], single["selection"]["history"], strict=True)
    assert all(a["loss"] == pytest.approx(b["loss"], rel=1e-4) for a, b in pairs if a["loss"])
