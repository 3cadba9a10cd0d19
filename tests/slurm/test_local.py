"""Studies in processes of this machine, and what every executor shares."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock, Timeout

from bench.core.paths import Home
from bench.runtime.provenance import git
from slurm.local import _alive
from slurm.snapshot import snapshot
from tests.conftest import ROOT, Bench, command, environment

pytestmark = pytest.mark.slow


def write(folder: Path, preset: Path, task: Path, *, epochs: int = 1, **axes: Any) -> Path:
    block = {"product": {"task": [str(task)], "source": ["real"], **axes}}
    content = {"name": "here", "preset": str(preset), "settings": {"train.epochs": epochs}}
    path = folder / "here.yaml"
    path.write_text(yaml.safe_dump({**content, "grid": [block]}))
    return path


def states(bench: Bench) -> list[str]:
    rows: list[dict[str, Any]] = bench("status", "here", "--json").json["rows"]
    return sorted(row["state"] for row in rows)


def test_a_killed_process_fails_its_run_and_the_others_are_done(
    bench: Bench, home: Home, tmp_path: Path, preset: Path, colours: Path
) -> None:
    study = write(tmp_path, preset, colours, epochs=1000, n=[24], seed=[0, 1])
    words = command("sweep", str(study), "--on", "local", "--parallel", "1")
    sweep = subprocess.Popen(
        words, env=environment(home.root), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (beats := list(home.runs.glob("*/heartbeat.json"))):
        assert time.monotonic() < deadline
        assert sweep.poll() is None, sweep.communicate()
        time.sleep(0.05)
    os.kill(json.loads(beats[0].read_text())["pid"], signal.SIGKILL)
    out, err = sweep.communicate(timeout=300)
    assert sweep.returncode == 1
    assert "1 of 2 runs are done" in out
    assert re.search(r"1 runs failed: \w+; see `bench logs \w+`, then `bench retry here", err)
    assert states(bench) == ["done", "failed"]
    assert "its process was killed" in bench("status", "here").out


def test_processes_end_with_a_sweep_that_is_killed(
    home: Home, tmp_path: Path, preset: Path, colours: Path
) -> None:
    study = write(tmp_path, preset, colours, epochs=10000, n=[24], seed=[0, 1])
    sweep = subprocess.Popen(
        command("sweep", str(study), "--parallel", "2"), env=environment(home.root)
    )
    deadline = time.monotonic() + 120
    while len(beats := list(home.runs.glob("*/heartbeat.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pids = [json.loads(beat.read_text())["pid"] for beat in beats]
    sweep.kill()
    sweep.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_sweeps_of_one_process_id_hold_locks_of_their_own(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    with _alive(jobs) as first, _alive(jobs) as second:
        assert second != first
        with pytest.raises(Timeout):
            FileLock(first).acquire(timeout=0)
    assert not list(jobs.iterdir())


def test_a_sweep_that_is_interrupted_leaves_no_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), _alive(tmp_path / "jobs"):
        raise KeyboardInterrupt
    assert not list((tmp_path / "jobs").iterdir())


def test_processes_import_what_pythonpath_names_after_the_copy_of_the_code(
    bench: Bench, tmp_path: Path, preset: Path, colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "bench.py").write_text("raise SystemExit('not the copy')")
    # Python imports it as it starts, if PYTHONPATH leads to it.
    said = tmp_path / "said"
    (folder / "sitecustomize.py").write_text(
        f"import sys; open({str(said)!r}, 'a').write(' '.join(sys.orig_argv))"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    study = write(tmp_path, preset, colours, n=[6])
    assert bench("sweep", str(study), "--parallel", "1").code == 0
    assert "submitit" in said.read_text()


def test_a_failing_run_is_carried_out_once_however_many_processes(
    bench: Bench, home: Home, tmp_path: Path, preset: Path, colours: Path
) -> None:
    study = write(tmp_path, preset, colours, n=[97, 6, 98])
    done = bench("sweep", str(study), "--on", "local", "--parallel", "2")
    assert done.code == 1
    assert states(bench) == ["done", "failed", "failed"]
    logs = [path.read_text() for path in home.runs.glob("*/log.txt")]
    assert sorted(log.count("failed: ") for log in logs) == [0, 1, 1]


def test_a_retry_does_what_failed_and_nothing_else(
    bench: Bench, home: Home, tmp_path: Path, preset: Path, colours: Path
) -> None:
    study = write(tmp_path, preset, colours, n=[6, 99])
    assert bench("sweep", str(study), "--on", "debug").code == 1
    done = next(
        r["run_id"] for r in bench("status", "here", "--json").json["rows"] if r["state"] == "done"
    )
    before = (home.run(done) / "record.json").read_bytes()
    assert bench("retry", "here", "--failed").code == 1
    assert states(bench) == ["done", "failed"]
    assert (home.run(done) / "record.json").read_bytes() == before


def test_fail_fast_stops_at_the_first(
    bench: Bench, tmp_path: Path, preset: Path, colours: Path
) -> None:
    study = write(tmp_path, preset, colours, n=[99, 6, 7])
    done = bench("sweep", str(study), "--on", "debug", "--fail-fast")
    assert done.code == 1
    assert "on hold, as a run failed" in done.err
    assert states(bench) == ["failed", "to do", "to do"]
    assert bench("sweep", str(study), "--on", "debug").code == 2
    assert bench("retry", "here").code == 1  # as it was submitted: it stops again
    assert states(bench) == ["failed", "to do", "to do"]
    assert bench("retry", "here", "--keep-going").code == 1
    assert states(bench) == ["done", "done", "failed"]


def test_wrong_requests_are_one_line(
    bench: Bench, tmp_path: Path, preset: Path, colours: Path
) -> None:
    study = str(write(tmp_path, preset, colours, n=[6]))
    for words, why in (
        (("sweep", study, "--on", "local", "--slurm", "partition=gpu"), "add --on slurm"),
        (("sweep", study, "--on", "debug", "--parallel", "4"), "add --on local, or leave"),
        (("sweep", study, "--on", "slurm", "--slurm", "partitoin=gpu"), "did you mean partition"),
        (("sweep", study, "--on", "slurm", "--profile", "no.yaml"), "cannot read no.yaml"),
        (("run", "--source", "real", "--task", str(colours), "--preset", str(preset), "--n", "6",
          "--on", "local", "--json"), "--json does not go with --on local"),
        (("status", "nothing"), "unknown study"),
        (("retry", "nothing"), "unknown study"),
        (("cancel", "nothing"), "unknown study"),
        (("logs", "nothing"), "unknown run"),
    ):  # fmt: skip
        done = bench(*words)
        assert done.code == 2, words
        assert why in done.complaint, words


@pytest.mark.parametrize("sign", [":", "%"])
def test_processes_that_cannot_be_are_refused_whoever_asked_for_a_number(
    sign: str, bench: Bench, tmp_path: Path, preset: Path, colours: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / f"a{sign}b"))
    study = str(write(tmp_path, preset, colours, n=[6]))
    done = bench("sweep", study, "--parallel", "4")
    assert done.code == 2
    assert (
        "set BENCH_HOME to another folder, or say --on debug without --parallel" in done.complaint
    )
    assert bench("sweep", study, "--parallel", "auto").code == 0


def test_slurm_that_is_not_here_is_said_before_any_job(
    bench: Bench, tmp_path: Path, preset: Path, colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ("sweep", str(write(tmp_path, preset, colours, n=[6])), "--on", "slurm")
    assert "no time limit" in bench(*words).complaint
    done = bench(*words, "--slurm", "time=1h")
    assert done.code == 2
    assert "no Slurm" in done.complaint


def test_a_snapshot_is_this_code_and_says_which(tmp_path: Path) -> None:
    home = Home(tmp_path)
    code = snapshot(home)
    assert snapshot(home) == code
    assert (code / "bench" / "run.py").read_bytes() == (ROOT / "bench" / "run.py").read_bytes()
    program = "import bench.runtime.provenance as code; print(code.__file__); print(code.git())"
    done = subprocess.run(
        [command()[0], "-P", "-c", program],
        env={**environment(tmp_path), "PYTHONPATH": str(code)},
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    where, what = done.stdout.splitlines()
    assert Path(where).is_relative_to(code)
    assert what == str(git())
