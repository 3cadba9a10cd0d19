"""Studies in worker processes of this machine, and what every executor shares."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from bench.core.paths import Home
from bench.runtime.provenance import git
from slurm.local import parent_lock
from slurm.snapshot import snapshot
from tests.conftest import ROOT, Bench, command, environment
from tests.support.command_line import DIVERGING, until, write_study

pytestmark = pytest.mark.slow


@pytest.fixture
def study(tmp_path: Path, preset: Path, colours: Path) -> Any:
    """Return what writes a study of real images."""

    def write(epochs: int = 1, **axes: Any) -> str:
        block = {"task": str(colours), "source": "real", **axes}
        return str(write_study(tmp_path, preset, block, name="here", epochs=epochs))

    return write


def states(bench: Bench) -> list[str]:
    rows: list[dict[str, Any]] = bench("status", "here", "--json").json["rows"]
    return sorted(row["state"] for row in rows)


def started(home: Home, sweep: subprocess.Popen[str], count: int) -> list[int]:
    """Wait until so many runs have started, and return their processes."""

    def beats() -> list[Path]:
        assert sweep.poll() is None, sweep.communicate()
        paths = list(home.runs.glob("*/heartbeat.json"))
        return paths if len(paths) >= count else []

    return [json.loads(beat.read_text())["pid"] for beat in until(beats)]


def start(home: Home, *words: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command("sweep", *words), env=environment(home.root), stdout=pipe, stderr=pipe, text=True
    )


def test_a_killed_worker_fails_its_run_and_the_others_are_done(
    bench: Bench, home: Home, study: Any
) -> None:
    sweep = start(home, study(epochs=100, n=[24], seed=[0, 1]), "--parallel", "1")
    os.kill(started(home, sweep, 1)[0], signal.SIGKILL)
    out, err = sweep.communicate(timeout=900)
    assert sweep.returncode == 1
    assert "1 of 2 runs are done" in out
    assert re.search(r"1 runs failed: \w+; see `bench logs \w+`, then `bench retry here", err)
    assert states(bench) == ["done", "failed"]
    assert "process was killed" in bench("status", "here").out


def test_workers_end_with_a_sweep_that_is_killed(home: Home, study: Any) -> None:
    sweep = start(home, study(epochs=10000, n=[24], seed=[0, 1]), "--parallel", "2")
    processes = started(home, sweep, 2)
    sweep.kill()
    sweep.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes))


def test_two_sweeps_of_one_process_id_hold_locks_of_their_own(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    with parent_lock(jobs) as first, parent_lock(jobs) as second:
        assert second != first
        with pytest.raises(Timeout):
            FileLock(first).acquire(timeout=0)
    assert not list(jobs.iterdir())
    with pytest.raises(KeyboardInterrupt), parent_lock(jobs):
        raise KeyboardInterrupt
    assert not list(jobs.iterdir())


def test_workers_import_what_pythonpath_names_after_the_copy_of_the_code(
    bench: Bench, tmp_path: Path, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "bench.py").write_text("raise SystemExit('not the copy')")
    # Python imports it as it starts, if PYTHONPATH leads to it.
    arguments = tmp_path / "arguments"
    (folder / "sitecustomize.py").write_text(
        f"import sys; open({str(arguments)!r}, 'a').write(' '.join(sys.orig_argv))"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    assert bench("sweep", study(n=[6]), "--parallel", "1").code == 0
    assert "submitit" in arguments.read_text()


def test_a_failing_run_is_executed_once_however_many_workers(
    bench: Bench, home: Home, study: Any
) -> None:
    rates = {"train.lr": [DIVERGING, 1e-3, 2 * DIVERGING]}
    done = bench("sweep", study(n=24, **rates), "--on", "local", "--parallel", "2")
    assert done.code == 1
    assert states(bench) == ["done", "failed", "failed"]
    logs = [path.read_text() for path in home.runs.glob("*/log.txt")]
    assert sorted(log.count("failed: ") for log in logs) == [0, 1, 1]


def test_a_retry_repeats_failed_runs_only(bench: Bench, home: Home, study: Any) -> None:
    rates = {"train.lr": [1e-3, DIVERGING]}
    assert bench("sweep", study(n=24, **rates), "--on", "debug").code == 1
    rows = bench("status", "here", "--json").json["rows"]
    done = next(row["run_id"] for row in rows if row["state"] == "done")
    before = (home.run(done) / "record.json").read_bytes()
    assert bench("retry", "here", "--failed").code == 1
    assert states(bench) == ["done", "failed"]
    assert (home.run(done) / "record.json").read_bytes() == before


def test_a_pool_that_ends_pauses_no_study(bench: Bench, study: Any) -> None:
    path = study(n=[6, 91, 92, 93, 94])
    done = bench("sweep", path, "--on", "local", "--parallel", "2", "--fail-fast")
    assert done.code == 0, done.err
    assert states(bench) == ["done", *["too few images"] * 4]


def test_fail_fast_stops_at_the_first_failure(bench: Bench, study: Any) -> None:
    path = study(n=24, **{"train.lr": [DIVERGING, 1e-3, 2e-3]})
    done = bench("sweep", path, "--on", "debug", "--fail-fast")
    assert done.code == 1
    assert "on hold: a run failed" in done.err
    assert states(bench) == ["failed", "to do", "to do"]
    assert bench("sweep", path, "--on", "debug").code == 2
    assert bench("retry", "here").code == 1  # With the options of before: it stops again.
    assert states(bench) == ["failed", "to do", "to do"]
    assert bench("retry", "here", "--keep-going").code == 1
    assert states(bench) == ["done", "done", "failed"]


@pytest.mark.parametrize("character", [":", "%"])
def test_a_home_that_workers_cannot_use_is_refused_if_a_number_of_them_is_given(
    character: str, bench: Bench, tmp_path: Path, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / f"a{character}b"))
    path = study(n=[6])
    done = bench("sweep", path, "--parallel", "4")
    assert done.code == 2
    assert "set BENCH_HOME to another folder, or use --on debug" in done.complaint
    assert bench("sweep", path, "--parallel", "auto").code == 0


def test_absent_slurm_is_said_before_any_job(
    bench: Bench, tmp_path: Path, study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ("sweep", study(n=[6]), "--on", "slurm")
    assert "no time limit" in bench(*words).complaint
    done = bench(*words, "--slurm", "time=1h")
    assert done.code == 2
    assert "Slurm is not installed" in done.complaint


def test_a_snapshot_is_this_code_and_knows_its_commit(tmp_path: Path) -> None:
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
    path, commit = done.stdout.splitlines()
    assert Path(path).is_relative_to(code)
    assert commit == str(git())
