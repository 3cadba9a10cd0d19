"""The command line: wrong requests, repeated, simultaneous, killed and starved ones."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from bench.core.paths import Home
from bench.core.records import Counts, RunRecord
from bench.core.specs import RunSpec
from bench.tasks import find_task
from tests.conftest import ROOT, Bench, command, environment

HEAVY = ("torch", "open_clip", "diffusers", "transformers", "duckdb", "matplotlib", "polars",
         "pandas", "submitit", "PIL", "numpy", "msgspec", "yaml")  # fmt: skip
COMMANDS = ("build", "cancel", "collect", "demo", "doctor", "export", "fetch", "list", "logs",
            "miniworld", "report", "retry", "run", "show", "status", "sweep")  # fmt: skip


def request(preset: Path, task: Path, *more: str, source: str = "real") -> list[str]:
    words = ["run", "--preset", str(preset), "--source", source, "--task", str(task), "--json"]
    return [*words, *more]


def files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


# ---------------------------------------------------------------- help


def test_help_is_quick_and_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom bench.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as left: assert not left.code\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    seconds = []
    for _ in range(3):
        start = time.process_time_ns(), os.times()
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment(tmp_path), capture_output=True, text=True, check=True,
        )  # fmt: skip
        after = os.times()
        seconds.append(
            after.children_user + after.children_system
            - start[1].children_user - start[1].children_system
        )  # fmt: skip
        assert done.stderr.strip() == "[]"
    # Time on the processor: what it takes on a machine with nothing else to do.
    assert min(seconds) < 0.5


def test_every_command_is_there_and_has_help(bench: Bench) -> None:
    listed = bench("--help").out
    for name in COMMANDS:
        assert f"\n  {name} " in listed
        done = bench(name, "--help")
        assert done.code == 0
        assert f"Usage: bench {name}" in done.out
        assert done.err == ""


def test_without_a_command_the_help_is_shown(bench: Bench) -> None:
    assert bench().out == bench("--help").out


@pytest.mark.parametrize("kind", ["tasks", "sources", "objectives", "evaluators", "presets"])
def test_what_is_listed_can_be_shown(bench: Bench, kind: str) -> None:
    names = bench("list", kind).out.split()
    assert names
    for name in names:
        done = bench("show", name)
        assert (done.code, done.err) == (0, "")
        assert done.out.strip()


# ---------------------------------------------------------------- wrong requests


WRONG = [
    ("rum", "unknown command 'rum'; did you mean run?"),
    ("run", "Missing option"),
    ("run --source real --task aircraft --speed 3", "No such option"),
    ("run --source reel --task aircraft", "unknown source 'reel'; did you mean real?"),
    ("run --source real --task aircarft", "unknown task 'aircarft'; did you mean"),
    ("run --source real --task aircraft --preset minni", "preset 'minni'; did you mean mini"),
    ("run --source real --task aircraft --preset no.yaml", "unknown preset 'no.yaml'"),
    ("run --source real --task aircraft --objective cee", "objective 'cee'; did you mean ce"),
    ("run --source real --task aircraft --n many", "'many' is not a number of images"),
    ("run --source real --task aircraft --n 0", "'0' is not a number of images"),
    ("run --source real --task aircraft --n=", "'' is not a number of images"),
    ("run --source real --task aircraft --seed x", "'x' is not a valid integer"),
    ("run --source real --task aircraft --seed -1", "seed"),
    ("run --source real --task aircraft --set train.lrr=1", "did you mean lr"),
    ("run --source real --task aircraft --set train.epochs=x", "epochs"),
    ("run --source real --task aircraft --set train", "sets nothing"),
    ("run --source real --task aircraft --set evaluators.zeroshot={}", "did you mean zero-shot"),
    ("run --source real --task aircraft --set train.select_by=knn", "'knn'"),
    ("run --source real --task aircraft --plugin none.py", "none.py is not a Python file"),
    ("run --source folder --task aircraft", "path"),
    ("run --source folder --task aircraft --set source.path=/nowhere", "'/nowhere' is not there"),
    ("run --source retrieved --task aircraft --set source.pool=laion", "pool 'laion' is not here"),
    ("run --source real --task aircraft --set model=no-clip", "fetch --model no-clip"),
    ("build --source real --task aircraft --shards x", "'x' names no shards"),
    ("build --source real --task aircraft --shards 3-1", "'3-1' names no shards"),
    ("sweep nothing.yaml", "cannot read nothing.yaml"),
    ("sweep studies/demo.yaml --on slrum", "unknown executor 'slrum'"),
    ("sweep studies/demo.yaml --parallel 0", "--parallel"),
    ("list tusks", "'tusks' is not one of"),
    ("show relrieved", "did you mean retrieved?"),
    ("fetch", "nothing to fetch"),
    ("fetch --task cars", "no official address"),
    ("fetch --model clip-b", "unknown model to fetch"),
    ("fetch --task boats", "unknown task to fetch"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "why"), WRONG, ids=[words for words, _ in WRONG])
def test_a_wrong_request_is_one_line_and_leaves_nothing(
    bench: Bench, home: Home, preset: Path, monkeypatch: pytest.MonkeyPatch, words: str, why: str
) -> None:
    monkeypatch.chdir(ROOT)
    arguments = words.split()
    if arguments[0] in ("run", "build") and "--preset" not in arguments and len(arguments) > 1:
        arguments += ["--preset", str(preset)]
    done = bench(*arguments)
    assert done.code == 2
    assert why in done.complaint
    assert done.out == ""
    assert not home.root.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="fp16 is to be had here")
def test_fp16_without_cuda_is_refused_before_any_work(
    bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    done = bench(*request(preset, colours, "--set", "train.precision=fp16"))
    assert done.code == 2
    assert "train.precision=fp16 needs a CUDA device" in done.complaint
    assert list(home.runs.glob("*")) == []


@pytest.mark.parametrize("source", ["none", "real", "retrieved", "synthetic", "mixed"])
def test_the_paper_preset_stops_before_any_work_with_the_remedy(
    bench: Bench, home: Home, source: str
) -> None:
    done = bench("run", "--source", source, "--task", "aircraft", "--n", "250k", "--json")
    assert done.code == 2
    assert "fetch" in done.complaint
    assert "--preset mini" in done.complaint
    assert done.out == ""
    assert not home.root.exists()


def test_the_data_of_a_published_task_is_asked_for(
    bench: Bench, home: Home, tiny_clip: Path
) -> None:
    done = bench("run", "--source", "none", "--task", "aircraft", "--set", f"model={tiny_clip}")
    assert done.code == 2
    assert "bench fetch --task aircraft" in done.complaint
    assert not home.root.exists()


def test_a_home_that_cannot_be_written_is_a_wrong_request(
    bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    home.root.write_text("a file where the folder should be")
    done = bench(*request(preset, colours))
    assert done.code == 2
    assert f"cannot write to the home folder {home.root}" in done.complaint
    assert "set BENCH_HOME" in done.complaint


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Any]:
    """Mount small file systems in memory, where that is allowed."""
    places: list[Path] = []

    def mount(place: Path, options: str) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", str(place)],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
        places.append(place)
        return place

    if os.name != "posix" or os.geteuid() or not shutil.which("mount"):
        pytest.skip("needs the right to mount: not root")
    yield mount
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_read_only_home_is_a_wrong_request(
    bench: Bench, home: Home, mounted: Any, preset: Path, colours: Path
) -> None:
    mounted(home.root, "ro,size=64k")
    done = bench(*request(preset, colours))
    assert done.code == 2
    assert "Read-only file system; set BENCH_HOME" in done.complaint


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("export --out file/x.csv", "no access to file: File exists"),
        ("export --out file/a/x.csv", "no access to file/a: Not a directory"),
        ("export --out .", "'--out': File '.' is a directory"),
        ("report --out file", "'--out': Directory 'file' is a file"),
        ("report --out file/a", "no access to file/a: Not a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_a_wrong_request(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    words: str, why: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("not a folder")
    assert bench(*request(preset, colours)).code == 0
    done = bench(*words.split())
    assert (done.code, done.out) == (2, "")
    assert why in done.complaint


def test_results_cannot_go_to_a_read_only_place(
    bench: Bench, mounted: Any, preset: Path, colours: Path, tmp_path: Path
) -> None:
    place = mounted(tmp_path / "fixed", "ro,size=64k")
    assert bench(*request(preset, colours)).code == 0
    for words in (["export", "--out", f"{place}/x.csv"], ["report", "--out", f"{place}/a"]):
        done = bench(*words)
        assert (done.code, done.out) == (2, "")
        assert "Read-only file system; choose another place" in done.complaint


def test_a_reader_that_leaves_is_no_error(home: Home) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("list", "tasks"),
        env=environment(home.root), stdout=writer, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writer)
    assert done.stderr == b""


def test_asking_for_too_many_says_how_many_there_are(
    bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    done = bench(*request(preset, colours, "--n", "25"))
    assert done.code == 2
    assert "has 24 for task 'colours'; ask for --n 24 or fewer, or --n all" in done.complaint
    assert done.out == ""
    (record,) = home.runs.glob("*/record.json")
    assert json.loads(record.read_text())["status"] == "failed"
    assert bench(*request(preset, colours, "--n", "all")).json["n"]["used"] == 24


# ---------------------------------------------------------------- a run


def test_json_is_one_object_with_everything_a_script_needs(
    bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    done = bench(*request(preset, colours, "--n", "12", "--seed", "3"))
    assert done.code == 0
    assert len(done.out.splitlines()) == 1
    record = done.json
    assert record["status"] == "done"
    assert record["n"] == {"asked": 12, "matched": 24, "fetched": 24, "kept": 24, "used": 12}
    assert {"run_id", "spec", "image_set", "timings", "versions", "git"} <= record.keys()
    assert record["spec"]["seed"] == 3
    assert set(record["timings"]) >= {"source", "adapt", "evaluate"}
    assert {"commit", "dirty"} <= record["git"].keys()
    judged = {(score["evaluator"], score["split"]) for score in record["scores"]}
    assert judged == {("zero-shot", "val"), ("zero-shot", "test")}
    for score in record["scores"]:
        assert score["n"] == {"val": 12, "test": 15}[score["split"]]
        assert 0 <= score["ci_low"] <= score["value"] <= score["ci_high"] <= 1
        assert {"metric", "chosen"} <= score.keys()
    stored = json.loads((home.run(record["run_id"]) / "record.json").read_text())
    assert stored == record


def test_the_same_command_twice_does_nothing_the_second_time(
    bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    first = bench(*request(preset, colours, "--n", "9"))
    before = files(home.root)
    second = bench(*request(preset, colours, "--n", "9"))
    assert second.out == first.out
    assert files(home.root) == before


def test_fresh_runs_again_and_comes_to_the_same(
    bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    first = bench(*request(preset, colours, "--n", "9")).json
    second = bench(*request(preset, colours, "--n", "9", "--fresh")).json
    assert second["scores"] == first["scores"]
    assert second["timings"] != first["timings"]


@pytest.mark.parametrize(("source", "shown"), [("synthetic", 1), ("mixed", 1), ("retrieved", 0)])
def test_a_miniature_score_stands_beside_the_generators_fidelity(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, source: str, shown: int
) -> None:
    def done(spec: RunSpec, *_: object, **__: object) -> RunRecord:
        n = Counts(asked=9, matched=9, fetched=9, kept=9, used=9)
        return RunRecord(run_id=spec.run_id, status="done", spec=spec, n=n, image_set="")

    monkeypatch.setattr("bench.run.run", done)
    ended = bench("run", "--preset", "mini", "--task", "aircraft", "--source", source, "--n", "9")
    assert ended.code == 0, ended.err
    assert ended.out.count("generator fidelity: ") == shown


def test_a_dry_run_writes_nothing(bench: Bench, home: Home, preset: Path, colours: Path) -> None:
    done = bench(*request(preset, colours, "--n", "9", "--dry-run"))
    assert done.code == 0
    assert not home.root.exists()
    assert bench(*request(preset, colours, "--n", "9")).json["run_id"] == done.json["run_id"]


def test_other_images_in_a_task_folder_are_another_run(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    task = tmp_path / "copy" / "colours"
    shutil.copytree(colours, task)
    first = bench(*request(preset, task, "--n", "9")).json
    shutil.copy(task / "train" / "red" / "0.png", task / "train" / "blue" / "0.png")
    second = bench(*request(preset, task, "--n", "9")).json
    assert second["run_id"] != first["run_id"]
    assert second["image_set"] != first["image_set"]


def test_a_folder_that_is_called_like_a_task_does_not_replace_it(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(colours, tmp_path / "mini-aircraft")
    monkeypatch.chdir(tmp_path)
    done = bench(*request(preset, Path("mini-aircraft"), "--dry-run"))
    assert done.json["spec"]["fingerprints"]["task"] == find_task("mini-aircraft").fingerprint


def test_runs_share_what_they_share(bench: Bench, home: Home, preset: Path, colours: Path) -> None:
    for n in ("6", "9"):
        for seed in ("0", "1"):
            assert bench(*request(preset, colours, "--n", n, "--seed", seed)).code == 0
    assert len(list(home.data.glob("real-*"))) == 1
    assert len(list(home.runs.iterdir())) == 4


def test_images_can_be_built_before_the_run(
    bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    words = [word for word in request(preset, colours) if word != "--json"]
    done = bench("build", *words[1:])
    assert done.code == 0
    assert done.out.startswith("24 images of real for ")
    before = files(home.data)
    assert bench(*words, "--n", "all").code == 0
    assert {path: content for path, content in files(home.data).items() if path in before} == before


# ---------------------------------------------------------------- faults


@pytest.mark.slow
def test_two_processes_at_one_run_both_succeed_with_one_record(
    home: Home, preset: Path, colours: Path
) -> None:
    words = command(*request(preset, colours, "--n", "9"))
    both = [
        subprocess.Popen(words, env=environment(home.root), stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    outs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outs[0] == outs[1]
    assert len(list(home.runs.iterdir())) == 1


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_scores(
    bench_process: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    words = request(preset, colours, "--n", "all", "--set", "train.epochs=60")
    rng, code, out = random.Random(1), -1, ""
    killed: list[list[tuple[str, int]]] = []
    other = tmp_path / "disturbed"
    while code != 0:
        process = subprocess.Popen(
            command(*words), env=environment(other), stdout=subprocess.PIPE, text=True
        )
        # Wait until there is something to destroy, then strike at a random moment.
        before = progress_of(other)
        while process.poll() is None and progress_of(other) == before:
            time.sleep(0.005)
        if len(killed) < 5:
            time.sleep(rng.uniform(0, 0.3))
            process.kill()
        out = process.communicate()[0]
        code = process.returncode
        if code:
            assert code == -signal.SIGKILL
            killed.append(progress_of(other))
            assert not out
    disturbed = json.loads(out)
    # In a process too, with as many threads: their number changes the last digits of a sum.
    undisturbed = bench_process(*words).json
    assert len(killed) >= 3
    assert disturbed["scores"] == undisturbed["scores"]
    assert disturbed["image_set"] == undisturbed["image_set"]
    assert disturbed["run_id"] == undisturbed["run_id"]
    assert history(disturbed) == history(undisturbed)


def progress_of(root: Path) -> list[tuple[str, int]]:
    """Return what a run has written so far; it says that it lives before it has done anything."""
    found = []
    for path in sorted(root.rglob("*")) if root.exists() else ():
        if "heartbeat" in path.name:
            continue
        try:
            found.append((str(path), path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return found


def history(record: dict[str, Any]) -> list[tuple[int, float | None, float]]:
    epochs = record["selection"]["history"]
    return [(epoch["epoch"], epoch["loss"], epoch["score"]) for epoch in epochs]


def test_a_corrupt_shard_is_one_line_and_its_advice_helps(
    bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    undisturbed = bench(*request(preset, colours, "--n", "24")).json
    (tar,) = home.data.glob("real-*/00000/images.tar")
    content = bytearray(tar.read_bytes())
    for position in range(600, len(content), 3000):
        content[position] ^= 0xFF
    tar.write_bytes(content)
    done = bench(*request(preset, colours, "--n", "24", "--fresh"))
    assert done.code == 1
    assert f"the shard {tar} is corrupt" in done.complaint
    assert done.out == ""
    advice = done.complaint.partition("; ")[2]
    assert advice.startswith("delete ")
    shutil.rmtree(advice.split()[1])
    assert bench(*request(preset, colours, "--n", "24")).json["scores"] == undisturbed["scores"]


def test_half_written_stages_and_records_are_not_taken_for_whole(
    bench: Bench, home: Home, preset: Path, colours: Path
) -> None:
    undisturbed = bench(*request(preset, colours, "--n", "24")).json
    (stage,) = home.data.glob("real-*")
    (stage / "done.json").unlink()
    (stage / "00000").rename(stage / ".00000-12345678")
    (stage / ".00000-12345678" / "index.parquet").unlink()
    record = home.run(undisturbed["run_id"]) / "record.json"
    record.write_bytes(record.read_bytes()[:100])
    again = bench(*request(preset, colours, "--n", "24")).json
    assert again["scores"] == undisturbed["scores"]
    assert sorted(path.name for path in stage.iterdir() if path.is_dir()) == ["00000"]


@pytest.mark.slow
@pytest.mark.parametrize("size", ["60k", "150k", "250k", "400k"])
def test_a_full_disk_is_one_line_and_the_run_continues_when_there_is_room(
    bench: Bench, home: Home, mounted: Any, preset: Path, colours: Path, size: str
) -> None:
    mounted(home.root, f"size={size}")
    words = request(preset, colours, "--n", "24")
    done = bench(*words)
    assert done.code == 1
    assert done.complaint.startswith("the disk is full")
    assert done.out == ""
    subprocess.run(["mount", "-o", "remount,size=64m", str(home.root)], check=True)
    continued = bench(*words)
    assert continued.code == 0, continued.err
    subprocess.run(["umount", "--lazy", str(home.root)], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", str(home.root)], check=True)
    assert bench(*words).json["scores"] == continued.json["scores"]


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_continue(home: Home, preset: Path, colours: Path) -> None:
    words = request(preset, colours, "--n", "24", "--set", "train.epochs=2000")
    process = subprocess.Popen(
        command(*words),
        env=environment(home.root), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not list(home.data.glob("real-*/done.json")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "bench: error: interrupted; the same command continues"
    assert "Traceback" not in err
    assert out == ""


# ---------------------------------------------------------------- studies


def write_study(folder: Path, preset: Path, task: Path, sizes: str = "[6, 9]") -> Path:
    path = folder / "small.yaml"
    path.write_text(
        f"name: small\npreset: {preset}\nsettings: {{train.epochs: 1}}\n"
        "per_source: {real: {train.lr: 1e-4}}\n"
        "grid:\n"
        f"  - product: {{task: [{task}], source: [real], n: {sizes}, seed: [0, 1]}}\n"
        f"  - zip: {{task: [{task}, {task}], source: [none, real], n: [all, 6]}}\n"
    )
    return path


def test_a_study_expands_to_each_run_once(
    bench: Bench, home: Home, tmp_path: Path, preset: Path, colours: Path
) -> None:
    done = bench("sweep", str(write_study(tmp_path, preset, colours)), "--dry-run", "--json")
    assert done.code == 0
    # Two sizes, two seeds and the unadapted model; the second block's real run is in the first.
    assert len({run["run_id"] for run in done.json["runs"]}) == len(done.json["runs"]) == 5
    assert {run["status"] for run in done.json["runs"]} == {"to do"}
    assert not home.root.exists()


def test_a_study_runs_and_a_failing_run_does_not_stop_the_others(
    bench: Bench, home: Home, tmp_path: Path, preset: Path, colours: Path
) -> None:
    study = write_study(tmp_path, preset, colours, "[6, 99]")
    done = bench("sweep", str(study), "--on", "debug")
    assert done.code == 1
    assert done.out.splitlines()[-1] == "3 of 5 runs are done"
    assert "2 runs failed" in done.err.splitlines()[-1]
    plan = bench("sweep", str(study), "--dry-run", "--json").json
    statuses = [run["status"] for run in plan["runs"]]
    assert sorted(statuses) == ["done"] * 3 + ["failed"] * 2
    before = files(home.runs)
    assert bench("sweep", str(study), "--on", "debug").code == 1
    done_runs = [path for path in before if '"status": "done"' in before[path].decode("latin1")]
    assert all(Path(path).read_bytes() == before[path] for path in done_runs)
    assert len(done_runs) == 3


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("preset: mini\ngrid: []\ngird: []", "did you mean grid"),
        ("preset: mini", "grid"),
        ("preset: mini\ngrid: [{product: {task: [aircraft], source: [real]}}]", "does not say n"),
        ("preset: mini\ngrid: [{sum: {task: [aircraft]}}]", "unknown field `sum`"),
        ("preset: mini\ngrid: [{zip: {task: [a], source: [b, c], n: [1]}}]", "differ in length"),
        (
            "preset: mini\ngrid: [{product: {task: [a], source: [real], n: [x]}}]",
            "'x' is not",
        ),
        (
            "preset: mini\ngrid: [{product: {task: [a], source: [real], n: [1], seed: [a]}}]",
            "seed",
        ),
    ],
)
def test_a_malformed_study_is_one_line(
    bench: Bench, home: Home, tmp_path: Path, content: str, why: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(content)
    done = bench("sweep", str(path))
    assert done.code == 2
    assert why in done.complaint
    assert not home.root.exists()


@pytest.mark.slow
def test_local_processes_come_to_the_same_scores(
    bench: Bench, bench_process: Bench, home: Home, tmp_path: Path, preset: Path, colours: Path
) -> None:
    study = str(write_study(tmp_path, preset, colours, "[6]"))
    apart = tmp_path / "apart"
    done = bench_process("sweep", study, "--on", "local", home_=apart)
    assert done.code == 0, done.err
    assert bench("sweep", study, "--on", "debug").code == 0
    for record in home.runs.glob("*/record.json"):
        other = apart / record.relative_to(home.root)
        assert scores_in(other) == scores_in(record)


@pytest.mark.slow
def test_a_sweep_leaves_what_another_process_is_at_for_last(
    bench: Bench, home: Home, tmp_path: Path, preset: Path, colours: Path
) -> None:
    study = str(write_study(tmp_path, preset, colours))
    plan = bench("sweep", study, "--dry-run", "--json").json
    first, *others = [run["run_id"] for run in plan["runs"]]
    records = {run_id: home.run(run_id) / "record.json" for run_id in (first, *others)}
    home.run(first).mkdir(parents=True)
    with FileLock(home.run(first) / ".lock"):
        sweep = subprocess.Popen(
            command("sweep", study, "--on", "debug"), env=environment(home.root)
        )
        deadline = time.monotonic() + 120
        while not all(records[run_id].exists() for run_id in others):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not records[first].exists()
        assert sweep.poll() is None
    assert sweep.wait(60) == 0
    assert records[first].exists()


def scores_in(path: Path) -> Any:
    return json.loads(path.read_text())["scores"]
