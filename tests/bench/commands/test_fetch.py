"""Fetching a model's revision from a Hub, which is a real server on loopback."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
import yaml

from bench.core.files import fingerprint
from bench.core.paths import Home
from sources.captions.table import caption_rows
from sources.generation.checkpoint import generator_folder
from tests.conftest import Bench, Outcome
from tests.support.hub import COMMIT, Hub, serving
from tests.support.language_models import by_writer, write_tiny_llm
from tests.support.tiny_pipelines import write_pipeline

NAME = f"lab/tiny@{COMMIT}"


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A pipeline folder such as labs publish: with second copies of its weights."""
    folder = write_pipeline("sd", tmp_path / "published")
    (folder / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"half as wide")
    (folder / "whole.safetensors").write_bytes(b"all in one file")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    return folder


def test_a_generator_s_revision_is_fetched_once_and_found_by_its_name(
    bench: Bench, bench_process: Bench, published: Path, tmp_path: Path, home: Home
) -> None:
    done = fetched(bench_process, published)
    assert done.code == 0, done.err
    folder = generator_folder(NAME, home)
    assert folder == home.weights / NAME
    assert fingerprint(folder) == fingerprint(write_pipeline("sd", tmp_path / "bare"))
    assert bench("fetch", "--model", NAME).out == f"model {NAME} is in {folder}\n"


def fetched(bench_process: Bench, folder: Path) -> Outcome:
    with serving({"models/lab/tiny": folder}) as hub:
        # As clusters have it: fetching is meant all the same.
        offline = {"HF_HUB_OFFLINE": "1", **hub.environment}
        return bench_process("fetch", "--model", NAME, **offline)


SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def test_a_language_model_is_fetched_with_all_that_transformers_needs(
    bench_process: Bench, tmp_path: Path, home: Home
) -> None:
    published = write_tiny_llm(tmp_path / "published", shards=len(SHARDS))
    assert {file.name for file in published.glob("*.safetensors")} == set(SHARDS)
    whole = tmp_path / "whole"
    shutil.copytree(published, whole)
    for extra in ("pytorch_model-00001-of-00002.bin", "consolidated.safetensors", "README.md"):
        (published / extra).write_bytes(b"the same again")
    (published / "original").mkdir()
    (published / "original" / "consolidated.00.pth").write_bytes(b"and again")
    for kept in ("chat_template.jinja", "merges.txt", "tokenizer.model"):
        for folder in (published, whole):
            (folder / kept).write_text("{{ messages }}")
    done = fetched(bench_process, published)
    assert done.code == 0, done.err
    assert fingerprint(home.weights / NAME) == fingerprint(whole)
    block = by_writer(home, "transformers", {"model": NAME, "max_tokens": 12}, retries=9)
    assert caption_rows(block).height


def test_weights_that_are_pickles_alone_are_refused(
    bench_process: Bench, tmp_path: Path, home: Home
) -> None:
    published = write_tiny_llm(tmp_path / "published")
    (published / "model.safetensors").rename(published / "pytorch_model.bin")
    done = fetched(bench_process, published)
    assert done.code == 2
    assert "lab/tiny has no weights as safetensors" in done.err
    assert not home.root.exists()


@pytest.fixture
def hub(tmp_path: Path, tiny_clip: Path) -> Iterator[Hub]:
    """A Hub with a CLIP, a gated one, a generator and a pool."""
    pool = tmp_path / "published-pool"
    pool.mkdir()
    rows = {"URL": ["http://127.0.0.1:9/1.jpg"], "TEXT": ["a red square"]}
    pl.DataFrame(rows).write_parquet(pool / "part-0.parquet")
    pipeline = write_pipeline("sd", tmp_path / "published-sd")
    repositories = {
        "models/lab/clip": tiny_clip,
        "models/lab/secret": tiny_clip,
        "models/lab/sd": pipeline,
        "datasets/lab/pool": pool,
    }
    with serving(repositories) as hub:
        hub.gated = {"lab/secret"}
        yield hub


CLIP = f"lab/clip@{COMMIT}"
WEIGHTS = "open_clip_model.safetensors"


def test_a_download_that_was_cut_is_continued_where_it_was(
    bench_process: Bench, tmp_path: Path, home: Home
) -> None:
    folder, size = tmp_path / "large", 50_000_000
    folder.mkdir()
    (folder / "open_clip_config.json").write_text("{}")
    (folder / WEIGHTS).write_bytes(np.random.default_rng(0).bytes(size))
    with serving({"models/lab/clip": folder}) as hub:
        hub.cut = {WEIGHTS}
        done = bench_process("fetch", "--model", CLIP, **hub.environment)
        for _ in range(3):
            if done.code == 0:
                break
            assert done.code == 1
            assert not (home.weights / CLIP).exists()
            done = bench_process("fetch", "--model", CLIP, **hub.environment)
    assert done.code == 0, done.err
    assert fingerprint(home.weights / CLIP) == fingerprint(folder)
    # The Hub's client writes blocks of ten megabytes; the last one is sent again.
    assert size <= hub.sent[WEIGHTS] < size + 10_000_000


def test_a_file_with_another_checksum_is_refused_and_fetched_again(
    bench_process: Bench, hub: Hub, tiny_clip: Path, home: Home
) -> None:
    hub.changed = {WEIGHTS}
    done = bench_process("fetch", "--model", CLIP, **hub.environment)
    assert done.code == 1
    assert f"{WEIGHTS} of lab/clip arrived with the SHA-256" in done.complaint
    assert not (home.weights / CLIP).exists()
    hub.changed = set()
    assert bench_process("fetch", "--model", CLIP, **hub.environment).code == 0
    assert fingerprint(home.weights / CLIP) == fingerprint(tiny_clip)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"lab/secret@{COMMIT}", "lab/secret is gated; accept its terms"),
        (f"lab/nothing@{COMMIT}", "the Hub has no lab/nothing"),
    ],
)
def test_what_one_may_not_have_is_one_line(
    bench_process: Bench, hub: Hub, home: Home, name: str, said: str
) -> None:
    done = bench_process("fetch", "--model", name, **hub.environment)
    assert done.code == 2
    assert said in done.complaint
    assert not home.weights.exists()


def test_a_pool_is_fetched_and_found_by_its_name(
    bench_process: Bench, hub: Hub, home: Home
) -> None:
    name = f"lab/pool@{COMMIT}"
    assert bench_process("fetch", "--pool", name, **hub.environment).code == 0
    matched = bench_process(
        "match", "--preset", "mini", "--task", "aircraft", "--pool", name, "--count", "--json"
    )
    assert matched.code == 0, matched.err


def test_a_pool_of_tars_is_fetched_with_the_tables_beside_them(
    bench_process: Bench, hub: Hub, home: Home
) -> None:
    folder = hub.repositories["datasets/lab/pool"]
    (folder / "part-0.tar").write_bytes(b"\0" * 10_240)
    (folder / "README.md").write_text("no part of a pool")
    name = f"lab/pool@{COMMIT}"
    assert bench_process("fetch", "--pool", name, **hub.environment).code == 0
    fetched = {path.name for path in (home.pools / name).iterdir()}
    assert fetched == {"part-0.tar", "part-0.parquet", ".source.json"}


def test_a_study_s_needs_are_fetched_together(
    bench_process: Bench, hub: Hub, home: Home, preset: Path, colours: Path
) -> None:
    study = home.root.parent / "study.yaml"

    def write(model: str) -> None:
        grid = [{"product": {"task": [str(colours)], "source": ["real"], "n": [8]}}]
        content = {"name": "s", "preset": str(preset), "settings": {"model": model}, "grid": grid}
        study.write_text(yaml.safe_dump(content))

    write(CLIP)
    done = bench_process("fetch", "--study", str(study), **hub.environment)
    assert done.code == 0, done.err
    assert done.out.endswith(f"everything that {study} needs is here\n")
    assert bench_process("sweep", str(study), "--dry-run").code == 0
    write(f"lab/secret@{COMMIT}")
    done = bench_process("fetch", "--study", str(study), **hub.environment)
    assert done.code == 2
    assert "not fetched: lab/secret" in done.err
    assert "still lacks: 1 run" in done.err


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(
    bench_process: Bench, hub: Hub, mounted: Callable[[Path, str], Path]
) -> None:
    small = mounted(Path(hub.repositories["datasets/lab/pool"]).parent / "small", "size=64k")
    done = bench_process("fetch", "--model", CLIP, home_=small, **hub.environment)
    assert done.code == 2
    assert "GB free; free some space" in done.complaint
    assert WEIGHTS not in hub.sent


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ViT-B-16:openai", "take ViT-B-16-quickgelu:openai"),
        ("ViT-B-16:laion3b", "unknown weights of ViT-B-16 'laion3b'; did you mean laion400m"),
        ("ViT-B-61:openai", "unknown model of open_clip 'ViT-B-61'; did you mean"),
    ],
)
def test_a_model_of_open_clip_is_known_with_its_activation(
    bench: Bench, name: str, said: str
) -> None:
    done = bench("fetch", "--model", name)
    assert done.code == 2
    assert said in done.complaint


@pytest.mark.parametrize(
    ("name", "repository", "folder"),
    [
        ("ViT-B-16-SigLIP2:webli", "timm/ViT-B-16-SigLIP2", "open_clip/ViT-B-16-SigLIP2/webli"),
        (f"hf-hub:lab/tiny@{COMMIT}", "lab/tiny", NAME),
    ],
)
def test_a_model_is_fetched_and_found_by_each_kind_of_name(
    bench_process: Bench, tiny_clip: Path, home: Home, name: str, repository: str, folder: str
) -> None:
    with serving({f"models/{repository}": tiny_clip}) as hub:
        done = bench_process("fetch", "--model", name, **hub.environment)
    assert done.code == 0, done.err
    assert home.find_weights(name) == home.weights / folder
    source = msgspec.json.decode((home.weights / folder / ".source.json").read_bytes())
    assert source == {"repository": repository, "kind": "model", "commit": COMMIT}


def test_two_commands_fetch_a_model_once(bench_process: Bench, tiny_clip: Path, home: Home) -> None:
    name = "lab/clip@main"
    with serving({"models/lab/clip": tiny_clip}) as hub, ThreadPoolExecutor(2) as together:
        environment = hub.environment
        commands = [
            together.submit(bench_process, "fetch", "--model", name, **environment)
            for _ in range(2)
        ]
        for done in (command.result() for command in commands):
            assert done.code == 0, done.err
        weights = (tiny_clip / "open_clip_model.safetensors").stat().st_size
        assert hub.sent["open_clip_model.safetensors"] == weights
    assert fingerprint(home.weights / name) == fingerprint(tiny_clip)
    assert [path.name for path in (home.weights / "lab").iterdir()] == ["clip@main"]
