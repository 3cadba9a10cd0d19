"""One picture through every source: it is kept with the same bytes wherever it comes from."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from PIL import Image

from bench.core.json_values import Json, digest
from bench.core.paths import Home
from bench.core.task import Task
from bench.plugins import ImageSet, source_of
from bench.storage.image_codec import ImageFormat
from bench.storage.tar_shards import read_bytes
from bench.tasks import find_task
from tests.support.contexts import context
from tests.support.pictures import PICTURES, SHOWN, photograph, written
from tests.support.pools import write_pool
from tests.support.source_options import options_of
from tests.support.tiny_clip import COLOURS
from tests.support.tiny_generation import World

pytestmark = pytest.mark.slow(minutes=1)

CLASS = next(iter(COLOURS))
KEPT = ImageFormat(size=24)
WHOLE = ImageFormat(size=32, suffix=".png")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; yield ADDRESS:PORT."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def write_task(root: Path, pictures: dict[str, bytes]) -> Task:
    """Write a task whose first class is trained on some pictures."""
    for split, start in (("train", 100), ("val", 200), ("test", 300)):
        for label, name in enumerate(COLOURS):
            folder = root / split / name
            folder.mkdir(parents=True)
            if (split, name) != ("train", CLASS):
                (folder / "0.png").write_bytes(written(photograph(start + label), "PNG"))
    for name, content in pictures.items():
        (root / "train" / CLASS / name).write_bytes(content)
    return find_task(str(root))


def options_by_source(root: Path, clip: Path, place: str, images: ImageFormat) -> dict[str, Json]:
    """Return options of the three sources that take pictures as they are."""
    keep_all = {"filter__model": str(clip)}
    given: dict[str, Json] = {
        "real": {},
        "folder": {**keep_all, "path": str(root / "train"), "max_distance": 0},
        "retrieved": {
            **keep_all, "pool": str(root.parent / "pool"), "tau": -1, "retries": 0,
            "allow_private": [place],
        },
    }  # fmt: skip
    kept_as = {"images": msgspec.to_builtins(images)}
    return {name: {**options_of(name, **more), **kept_as} for name, more in given.items()}


def stored(data: Path, images: ImageSet, column: str) -> dict[str, bytes]:
    """Return a column's value to the bytes of the image that is kept for it."""
    rows = images.index().iter_rows(named=True)
    return {
        str(row[column]): read_bytes(data / row["shard"], row["offset"], row["size"])
        for row in rows
    }


def through_every_source(
    root: Path, clip: Path, pictures: dict[str, bytes], images: ImageFormat
) -> dict[str, dict[str, bytes]]:
    """Return source to name to the bytes that it keeps of each picture."""
    task = write_task(root / "task", pictures)
    home, names = Home(root / "home"), sorted(pictures)
    with served(root / "task" / "train" / CLASS) as place:
        urls = {name: f"http://{place}/{name}" for name in names}
        write_pool(root / "pool", [(url, f"a {CLASS}", "UNLIKELY") for url in urls.values()])
        options = options_by_source(root / "task", clip, place, images)
        sets = {
            name: source_of(name, options[name]).collect(context(home, task)) for name in options
        }
    columns = {"real": "key", "folder": "key", "retrieved": "url"}
    kept = {name: stored(home.data, found, columns[name]) for name, found in sets.items()}
    files = sorted((root / "task" / "train").rglob("*.*"))
    of_folder = {file.name: f"{index:08d}" for index, file in enumerate(files)}
    place_of = {
        "real": lambda name: digest(f"train/{CLASS}/{name}", 16),
        "folder": lambda name: of_folder[name],
        "retrieved": lambda name: urls[name],
    }
    return {
        source: {name: kept[source][place_of[source](name)] for name in names} for source in kept
    }


@pytest.fixture(scope="module", params=[KEPT, ImageFormat(size=24, fit="border", suffix=".png")])
def every(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path
) -> tuple[ImageFormat, dict[str, dict[str, bytes]]]:
    root = tmp_path_factory.mktemp("every")
    return request.param, through_every_source(root, tiny_clip, PICTURES, request.param)


def test_every_source_keeps_the_same_bytes_of_a_picture(every: Any) -> None:
    images, kept = every
    for name, picture in SHOWN.items():
        contents = {source: kept[source][name] for source in kept}
        assert len(set(contents.values())) == 1, name
        if name.endswith(".png"):  # Decoded without loss, so that it is known what is kept.
            assert contents["real"] == images.encoded(images.fitted(picture)), name


def generated(world: World, source: str, images: ImageFormat, grey: Task) -> dict[str, bytes]:
    """Return key to what a source that makes its own images keeps of them."""
    kept_as: Json = {"images": msgspec.to_builtins(images)}
    options = world.settings(source=source)
    if source == "denoised":
        inner = {"of": "real", "options": {"real": kept_as}}
        options |= {**inner, "strength": 0.5, "generation": {**options["generation"], "steps": 4}}
    found = source_of(source, {**options, **kept_as}).collect(world.context(4, grey))
    of_class = found.index().filter(pl.col("class_name") == CLASS)["key"].to_list()
    contents = stored(world.home.data, found, "key")
    return {key: contents[key] for key in of_class}


def test_a_generated_image_is_kept_as_the_same_picture_from_the_web(
    world: World, tmp_path: Path
) -> None:
    # Denoised from flat grey, which any format keeps as it is.
    flat = written(Image.new("RGB", (40, 40), (128, 128, 128)), "PNG")
    grey = write_task(tmp_path / "grey", {f"{index}.png": flat for index in range(3)})
    pictures, expected = {}, {}
    for source in ("synthetic", "denoised"):
        whole, kept = (generated(world, source, images, grey) for images in (WHOLE, KEPT))
        key = min(whole.keys() & kept.keys())
        pictures[f"{source}.png"], expected[f"{source}.png"] = whole[key], kept[key]
    found = through_every_source(tmp_path / "every", world.clip, pictures, KEPT)
    assert found == dict.fromkeys(found, expected)
    assert len(set(expected.values())) == 2
