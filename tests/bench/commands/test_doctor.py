"""The doctor: a finding for each thing, and a remedy for what is absent or wrong."""

import json

from bench.core.files import content_hash
from bench.core.model_names import FETCHED
from bench.core.paths import Home
from tests.conftest import Bench
from tests.support.held_pools import write_table


def test_a_new_home_is_healthy_and_says_what_is_not_here(bench: Bench) -> None:
    done = bench("doctor")
    assert done.code == 0, done.out
    states = {line.split()[0] for line in done.out.splitlines()}
    assert states <= {"ok", "note"}
    for name in FETCHED:
        assert f"bench fetch --model {name}" in done.out
    assert "bench fetch --task" in done.out
    assert "docs/retrieval.md" in done.out


def test_every_finding_that_is_not_ok_has_a_remedy(bench: Bench) -> None:
    findings = json.loads(bench("doctor", "--json").out)
    assert {"home", "database", "device", "weights", "task"} <= {one["about"] for one in findings}
    assert all(one["fix"] for one in findings if one["state"] != "ok")


def test_a_model_without_weights_is_a_fault(bench: Bench, home: Home) -> None:
    name = next(iter(FETCHED))
    (home.weights / name).mkdir(parents=True)
    (home.weights / name / "open_clip_config.json").write_text("{}")
    done = bench("doctor")
    assert done.code == 1
    [fault] = [line for line in done.out.splitlines() if line.startswith("FAIL")]
    assert name in fault
    assert "fetch it again" in fault


def test_a_changed_byte_of_a_released_model_is_a_fault(bench: Bench, home: Home) -> None:
    folder = home.weights_folder("synclr-vit-b16")
    folder.mkdir(parents=True)
    weights = folder / "model.safetensors"
    weights.write_bytes(bytes(3 * 2**20))
    (folder / ".source.json").write_text(json.dumps({"weights": content_hash(weights)}))
    assert "synclr-vit-b16 is here" in bench("doctor").out
    with weights.open("r+b") as stream:  # Where no fingerprint looks.
        stream.seek(3 * 2**19)
        stream.write(b"\1")
    for there in (True, False):
        if not there:
            weights.unlink()
        done = bench("doctor")
        assert done.code == 1
        [fault] = [line for line in done.out.splitlines() if line.startswith("FAIL")]
        assert f"{weights} is damaged" in fault


def test_a_home_that_cannot_be_written_to_is_a_fault(bench_process: Bench) -> None:
    done = bench_process("doctor", BENCH_HOME="/proc/nowhere")
    assert done.code == 1
    assert "set BENCH_HOME to a folder you can write to" in done.out


def test_an_interrupted_download_is_no_pool(bench: Bench, home: Home) -> None:
    (home.pools / ".some.0123456789ab.partial").mkdir(parents=True)
    done = bench("doctor")
    assert done.code == 0
    assert "there is no pool in" in done.out


def test_a_damaged_pool_is_a_fault(bench: Bench, home: Home) -> None:
    (home.root / "pools" / "empty").mkdir(parents=True)
    done = bench("doctor")
    assert done.code == 1
    assert "is empty" in done.out


def test_fetched_pools_are_called_as_they_were_fetched(bench: Bench, home: Home) -> None:
    for name in ("one", "two"):
        folder = home.pools / "lab" / f"{name}@v1"
        write_table(folder / "0.parquet", [{"caption": "a rose"}])
        (folder / ".source.json").write_text("{}")
    write_table(home.pools / "mine" / "0.parquet", [{"caption": "a rose"}])
    found = [line.split()[2] for line in bench("doctor").out.splitlines() if " pool " in line]
    assert found == ["lab/one@v1", "lab/two@v1", "mine"]
