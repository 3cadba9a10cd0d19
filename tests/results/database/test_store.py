"""From records on disk to the database; what cannot be read is left out with a reason."""

import json
import os
import resource
import subprocess

import duckdb
import msgspec
import polars as pl
import pytest

from bench.core.errors import BenchError
from bench.core.paths import Home
from bench.storage.run_folder import read_record, summaries
from results.database import store
from tests.conftest import command, environment
from tests.support.records import collected, write_run


def write_record(home: Home, folder: str, content: bytes) -> None:
    home.run(folder).mkdir(parents=True)
    (home.run(folder) / "record.json").write_bytes(content)


def skipped(home: Home) -> dict[str, str]:
    """Return the reason for each folder that was left out."""
    lines = store.collect(home).skipped
    assert all("\n" not in line for line in lines)
    return {line.split("/record.json: ")[0].rpartition("/")[2]: line for line in lines}


def test_empty_home_says_what_to_do(home: Home) -> None:
    with pytest.raises(BenchError, match="bench demo"):
        store.collect(home)
    with pytest.raises(BenchError, match="bench collect"), store.reading(home):
        pass


def test_unreadable_files_are_skipped_with_a_reason(home: Home) -> None:
    good = write_run(home, "retrieved", 100)
    content = msgspec.to_builtins(good)
    huge = content | {"run_id": "huge", "spec": content["spec"] | {"seed": 2**63}}
    bad = {
        "cut": b'{"run_id": "cut", "sta',
        "empty": b"",
        "binary": b"\xff\xfe\x00",
        "deep": b"[" * 100_000,
        "list": b"[1, 2]",
        "foreign": b'{"hello": "world"}',
        "copied": json.dumps(content).encode(),
        "huge": json.dumps(huge).encode(),
    }
    for name, data in bad.items():
        write_record(home, name, data)
    (home.run("folder") / "record.json").mkdir(parents=True)
    reasons = skipped(home)
    assert set(reasons) == {*bad, "folder"}
    assert good.run_id in reasons["copied"]
    assert store.collect(home).read == 1


@pytest.mark.parametrize(("newer", "advice"), [(-1, "repeat its run"), (1, "update")])
def test_records_of_another_schema_are_skipped(home: Home, newer: int, advice: str) -> None:
    run = write_run(home, "retrieved", 100)
    content = msgspec.to_builtins(run)
    version = content["schema_version"] + newer
    other = content | {"run_id": "other", "schema_version": version}
    write_record(home, "other", json.dumps(other).encode())
    reason = skipped(home)["other"]
    assert f"schema {version}" in reason
    assert advice in reason
    assert read_record(home, "other") is None
    assert set(summaries(home)) == {run.run_id}


def test_old_field_names_are_never_misread(home: Home) -> None:
    """Records once called fingerprints `pins` and stage counts `yields`."""
    content = msgspec.to_builtins(write_run(home, "retrieved", 100))
    spec = {name: value for name, value in content["spec"].items() if name != "fingerprints"}
    old = {name: value for name, value in content.items() if name != "stage_counts"}
    for name, change in {"spec": {"spec": spec | {"pins": {}}}, "counts": {"yields": {}}}.items():
        write_record(home, name, json.dumps(old | {"run_id": name} | change).encode())
    assert set(skipped(home)) == {"spec", "counts"}


def test_a_corrupt_prediction_file_costs_only_itself(home: Home) -> None:
    runs = [write_run(home, "retrieved", n) for n in (10, 20, 30, 40, 50)]
    (home.run(runs[2].run_id) / "predictions.parquet").write_bytes(b"PAR1 not really PAR1")
    result = store.collect(home)
    assert result.read == 5
    assert [runs[2].run_id in line for line in result.skipped] == [True]
    with store.reading(home) as connection:
        kept = connection.execute("SELECT count(DISTINCT run_id) FROM predictions").fetchone()
    assert kept == (4,)


def test_a_rebuild_is_atomic(home: Home) -> None:
    write_run(home, "retrieved", 100)
    with collected(home) as before:
        write_run(home, "synthetic", 100)
        store.collect(home)
        assert before.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    with store.reading(home) as after:
        assert after.execute("SELECT count(*) FROM runs").fetchone() == (2,)
    assert {path.name for path in home.root.iterdir()} == {"runs", "results.duckdb"}


def test_a_database_that_cannot_be_written_is_one_line(home: Home) -> None:
    write_run(home, "retrieved", 100)
    home.database.mkdir()
    with pytest.raises(BenchError, match="cannot write"):
        store.collect(home)
    assert {path.name for path in home.root.iterdir()} == {"runs", "results.duckdb"}


@pytest.mark.slow
def test_thousands_of_records(home: Home) -> None:
    for seed in range(5_000):
        write_run(home, "retrieved", 100, seed=seed)
    assert store.collect(home).read == 5_000


def test_predictions_of_some_images_are_left_out(home: Home) -> None:
    """Runs are compared on the images that all answered: a torn file would take the others'."""
    for source in ("retrieved", "synthetic"):
        write_run(home, source, 100)
    torn = home.run(write_run(home, "retrieved", 200).run_id) / "predictions.parquet"
    pl.read_parquet(torn, glob=False).head(10).write_parquet(torn)
    for _ in range(2):
        (line,) = store.collect(home).skipped
        assert line.startswith(str(torn))
        assert "has 10 of the 200 images" in line
    with store.reading(home) as connection:
        ((runs,),) = connection.execute("SELECT count(DISTINCT run_id) FROM answers").fetchall()
    assert runs == 2


def test_a_pipe_is_no_record_and_is_not_waited_for(home: Home) -> None:
    write_run(home, "retrieved", 100)
    (home.runs / "pipe").mkdir()
    os.mkfifo(home.runs / "pipe" / "record.json")
    assert "is no file" in skipped(home)["pipe"]


@pytest.mark.parametrize("what", ["VIEW answers", "TABLE scaling", "TABLE kept.scores"])
def test_a_database_that_lacks_something_is_made_anew(home: Home, what: str) -> None:
    write_run(home, "retrieved", 100)
    store.collect(home)
    with duckdb.connect(home.database) as connection:
        connection.execute(f"DROP {what}")
    with store.collect(home).reading() as connection:
        name = what.partition(" ")[2]
        assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() != (0,)


def read_all(collected: store.Collected) -> None:
    with collected.reading() as opened:
        for table in ("kept.scores", "kept.runs", "kept.predictions", "selected"):
            opened.execute(f"SELECT * FROM {table}").fetchall()


def test_damage_in_the_middle_is_one_line(home: Home) -> None:
    for n in range(100, 140):
        write_run(home, "retrieved", n)
    database = store.collect(home).database
    content = bytearray(database.read_bytes())
    content[20_000:-20_000] = os.urandom(len(content) - 40_000)
    database.write_bytes(content)
    collected = store.Collected(database, 40, [])
    with pytest.raises(BenchError, match=r"(?s)damaged.*made anew"):
        read_all(collected)


def test_what_a_killed_process_left_goes_after_a_day(home: Home) -> None:
    write_run(home, "retrieved", 100)
    old, new = home.root / ".collect-old", home.root / ".collect-new"
    for left in (old, new):
        left.mkdir()
        (left / "results.duckdb").write_bytes(b"half")
    os.utime(old, (0, 0))
    store.collect(home)
    assert [old.exists(), new.exists()] == [False, True]


def test_a_full_disk_is_no_files_fault_and_the_old_database_stays(home: Home) -> None:
    """A limit on the size of files stands for the disk: what is written fails alike."""
    write_run(home, "retrieved", 100)
    before = store.collect(home).database.read_bytes()
    for n in range(101, 260):
        write_run(home, "retrieved", n)
    limit = len(before) + 100_000
    ended = subprocess.run(
        command("collect"), env=environment(home.root), capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    assert "skipped" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert home.database.read_bytes() == before
