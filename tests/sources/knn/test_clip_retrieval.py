"""Indices that clip-retrieval's own programs build and serve, in their environment."""

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import polars as pl
import pytest
from PIL import Image

from bench.core.arrays import FloatArray
from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from bench.miniworld.pool import image_of, read_truth
from bench.plugins import source_of
from bench.storage.image_codec import encode
from bench.tasks import find_task
from sources.knn.index_folder import IndexFolder
from sources.knn.server import KnnServer
from tests.conftest import ROOT, Web
from tests.support.command_line import free_port, until
from tests.support.contexts import context, embedder
from tests.support.source_options import options_of

MINI = find_task("mini-aircraft")
WEIGHTS = ROOT / "bench" / "miniworld" / "weights" / "clip"
pytestmark = pytest.mark.slow
QUERY = np.full((1, 16), 0.25, np.float32)


KNN = ROOT / ".venv-knn"
# The programs know the CLIPs of open_clip; ours is made known to them first, with what it does to
# pixels. They leave every CLIP in training mode, which is all the same to those without batch norm.
PROGRAM = """
import json, sys, open_clip
open_clip.add_model_config(sys.argv.pop(1))
pixels = json.loads(sys.argv.pop(1))
create = open_clip.create_model_and_transforms
def created(*words, **more):
    model, *transforms = create(*words, **more, **pixels)
    return model.eval(), *transforms
open_clip.create_model_and_transforms = created
from clip_retrieval.cli import main
main()
"""


class Built(NamedTuple):
    """An index that clip-retrieval built of images that a server on loopback shows."""

    folder: Path
    embeddings: FloatArray  # Of the images, in their order, by ``clip-retrieval inference``.
    images: list[Image.Image]
    config: Path  # The CLIP's configuration, for `PROGRAM`.
    clip: str  # The CLIP's name for the programs.


def program(config: Path, *words: object) -> list[str]:
    config_of_clip = json.loads((WEIGHTS / "open_clip_config.json").read_text())["preprocess_cfg"]
    pixels = json.dumps({f"image_{name}": value for name, value in config_of_clip.items()})
    return [str(KNN / "bin" / "python"), "-c", PROGRAM, str(config), pixels, *map(str, words)]


def offline() -> dict[str, str]:
    settings = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
    without = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**without, **settings, "WANDB_MODE": "disabled"}


@pytest.fixture(scope="session")
def built(web: Web, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """An index of 200 images of the miniature world."""
    if not (KNN / "ready").is_file():
        pytest.skip("clip-retrieval is not installed here: make knn-env")
    pytest.importorskip("faiss", reason="faiss-cpu is not installed here: make setup")
    root = tmp_path_factory.mktemp("knn")
    config, clip = known_clip(root)
    pixels = write_images(web, root / "00000.tar", 200)
    common = ("--wds_image_key=png", "--enable_metadata=True", "--num_prepro_workers=1")
    for words in (
        ("inference", root / "00000.tar", root / "made", "--input_format=webdataset",
         f"--clip_model={clip}", "--batch_size=50", *common),
        ("index", root / "made", root / "index", "--nb_cores=1",
         "--max_index_memory_usage=1G", "--current_memory_available=2G"),
    ):  # fmt: skip
        done = subprocess.run(
            program(config, *words), env=offline(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
    parts = [np.load(path) for path in sorted((root / "made" / "img_emb").glob("*.npy"))]
    embeddings = np.concatenate(parts).astype(np.float32)
    return Built(root / "index", embeddings, pixels, config, clip)


def known_clip(root: Path) -> tuple[Path, str]:
    """Return the miniature CLIP's configuration as open_clip registers it, and its name."""
    content = json.loads((WEIGHTS / "open_clip_config.json").read_text())["model_cfg"]
    content["text_cfg"]["hf_tokenizer_name"] = str(WEIGHTS)
    config = root / "miniworld.json"
    config.write_text(json.dumps(content))
    return config, f"open_clip:miniworld/{WEIGHTS / 'open_clip_model.safetensors'}"


def write_images(web: Web, tar: Path, count: int) -> list[Image.Image]:
    """Write and return images with their captions and addresses, as img2dataset does."""
    pool = pl.concat(pl.read_parquet(file) for file in sorted(web.pool.glob("*.parquet")))
    truth = {row.path: row for row in read_truth(web.world) if row.status == "ok"}
    written: list[Image.Image] = []
    with tarfile.open(tar, "w") as stream:
        for url, text, nsfw in pool.select("URL", "TEXT", "NSFW").iter_rows():
            row = truth.get("images/" + url.rpartition("/")[2])
            if row is None or len(written) == count:
                continue
            image = Image.fromarray(image_of(row))
            about = json.dumps({"url": url, "NSFW": nsfw}).encode()
            members = {"png": encode(image, ".png"), "txt": text.encode(), "json": about}
            for suffix, content in members.items():
                member = tarfile.TarInfo(f"{len(written):09d}.{suffix}")
                member.size = len(content)
                stream.addfile(member, io.BytesIO(content))
            written.append(image)
    assert len(written) == count
    return written


@pytest.fixture(scope="module")
def served(built: Built) -> Iterator[str]:
    """The address of a ``clip-retrieval back`` that serves the index."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    paths = built.folder.parent / "indices.json"
    paths.write_text(json.dumps({"miniworld": str(built.folder)}))
    log = built.folder.parent / "back.log"
    words = program(
        built.config, "back", f"--indices_paths={paths}", f"--port={port}",
        f"--clip_model={built.clip}", "--use_jit=False", "--enable_mclip_option=False",
        "--provide_aesthetic_embeddings=False",
    )  # fmt: skip
    with log.open("wb") as stream:
        process = subprocess.Popen(words, env=offline(), stdout=stream, stderr=stream)

    def responds() -> bool:
        assert process.poll() is None, log.read_text()[-2000:]
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/indices-list").is_success
        return False

    try:
        until(responds, poll=0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def test_its_embeddings_are_the_ones_that_the_same_clip_makes_here(built: Built) -> None:
    ours = embedder("clip").images(built.images)
    # It keeps half precision: 11 bits.
    np.testing.assert_allclose(built.embeddings, ours, atol=2e-3)


def test_a_folder_is_searched_as_its_embeddings_say(built: Built) -> None:
    queries = embedder("clip").texts(MINI.prompts(MINI.class_names[0]))
    rows = IndexFolder(built.folder).nearest(queries, 20)
    cosines = np.sort(queries @ built.embeddings.T, axis=1)[:, ::-1][:, :20]
    assert rows["query"].to_list() == [query for query in range(len(queries)) for _ in range(20)]
    np.testing.assert_allclose(rows["similarity"], cosines.ravel(), atol=1e-3)


def test_a_server_and_its_folder_give_the_same(built: Built, served: str) -> None:
    queries = embedder("clip").texts(MINI.prompts(MINI.class_names[0]))
    near, far = (
        index.nearest(queries, 500).sort("query", "url")
        for index in (IndexFolder(built.folder), KnnServer(served, None))
    )
    assert near.height == 200 * len(queries)
    assert near.drop("similarity").equals(far.drop("similarity"))
    np.testing.assert_allclose(near["similarity"], far["similarity"], atol=1e-5)


def test_an_index_of_another_clip_is_refused(built: Built, served: str) -> None:
    with pytest.raises(RequestError, match=r"have 128 numbers, .* 16; name the CLIP"):
        IndexFolder(built.folder).nearest(QUERY, 3)
    with pytest.raises(BenchError, match="status 500; was the index built with"):
        KnnServer(served, None).nearest(QUERY, 3)


def test_images_found_by_nearness_are_fetched_and_kept(built: Built, web: Web, home: Home) -> None:
    options = options_of(
        "retrieved", pool="not here", filter__model="clip", tau=-1, images__size=32, suffix=".png",
        allow_private=[web.host], preflight=0, retrieval="knn", knn__index=str(built.folder),
        knn__k=5,
    )  # fmt: skip
    source = source_of("retrieved", options)
    assert set(source.fingerprints(home)) == {"filter_model", "knn", "knn_model"}
    collected = source.collect(context(home, MINI))
    counts = collected.manifest.stage_counts
    expected = 5 * len(MINI.templates) * len(MINI.class_names)
    assert counts["knn"]["requested"] == counts["knn"]["returned"] == expected
    assert counts["knn"]["naming a class"] >= counts["matched"] >= len(collected) > 0
    rows = collected.index()
    assert set(rows["origin"]) == {"retrieved"}
    # Nearness in this CLIP's space knows the classes: far more often right than by chance.
    truth = {f"http://{web.host}/{row.path}": row.name for row in read_truth(web.world)}
    right = [truth[url] == name for url, name in rows.select("url", "class_name").iter_rows()]
    assert sum(right) > 3 * len(right) / len(MINI.class_names)


def test_a_folder_whose_parts_do_not_fit_is_refused(built: Built, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    shutil.copytree(built.folder, folder)
    metadata = next((folder / "metadata").glob("*.parquet"))
    pl.read_parquet(metadata)[:150].write_parquet(metadata)
    with pytest.raises(RequestError, match="has 200 vectors, its metadata 150 rows"):
        IndexFolder(folder).nearest(QUERY, 3)
    (folder / "image.index").write_bytes(b"none")
    with pytest.raises(RequestError, match="is not a faiss index"):
        IndexFolder(folder).nearest(QUERY, 3)
