"""Image sets leave the harness: other people's packages read the same images, labels and texts."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from PIL import Image

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Task
from bench.exports.export import export_images
from bench.exports.formats import Format, folder_names
from bench.exports.found import find_images
from bench.storage.image_set import ImageSet
from bench.storage.labelled_tars import labelled_images
from bench.storage.tar_shards import INDEX_SCHEMA, ShardWriter
from sources.pool.pool import Pool
from tests.conftest import ROOT, Bench
from tests.support.contexts import image_of
from tests.support.pictures import photograph, written
from tests.support.pools import classes, flowers, scan_pool

TASK: Task = flowers("rose", "F/A-18", "lily", "none")
COUNTS = {"rose": 7, "F/A-18": 5, "lily": 3}
FORMATS: tuple[Format, ...] = ("webdataset", "imagefolder", "parquet")


def write_set(home: Home, suffix: str = ".jpg") -> ImageSet:
    """Write a set of images, one without caption, some without address, none with a seed."""
    stage = home.data / "made-0" / "00000"
    stage.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    with ShardWriter(stage / "images.tar") as writer:
        for name, count in COUNTS.items():
            for _ in range(count):
                at = len(rows)
                kind = {".png": "PNG", ".jpg": "JPEG"}[suffix]
                key = hashlib.sha256(f"{at}".encode()).hexdigest()[:16]
                place = writer.add(key, written(photograph(at), kind), suffix)
                rows.append({
                    "key": key, "shard": "made-0/00000/images.tar", "class_name": name,
                    "label": TASK.class_names.index(name), "origin": "retrieved",
                    "caption": None if at == 3 else f"a {name}, \u00e9\n{at}",
                    "url": f"http://a/{at}" if at % 3 else f"00000.tar/{at}.jpg",
                    "seed": None, "clip_score": at / 20, "width": 90, "height": 60, **place,
                })  # fmt: skip
    options = {"pool": "/home/someone/laion", "retrieval": "captions"}
    table = pl.DataFrame(rows, schema={**INDEX_SCHEMA}, orient="row")
    counts = {"matched": 20, "kept": 15, "failed": {"http 404": 5}}
    return ImageSet.write(home.data, table, TASK, "retrieved", options, counts)


@pytest.fixture
def images(home: Home) -> ImageSet:
    return write_set(home)


def exported(home: Home, images: ImageSet, kind: Format, out: Path) -> Path:
    export_images(find_images(images.folder.name, home), kind, out, "unknown", Progress(quiet=True))
    return out


def expected(home: Home, images: ImageSet) -> list[tuple[Any, ...]]:
    rows = images.index().iter_rows(named=True)
    return [
        (image_of(home, row).tobytes(), row["label"], row["class_name"], row["caption"], row["url"])
        for row in rows
    ]


def pixels(image: Image.Image) -> bytes:
    return image.convert("RGB").tobytes()


def test_webdataset_reads_it(home: Home, images: ImageSet, tmp_path: Path) -> None:
    import webdataset

    out = exported(home, images, "webdataset", tmp_path / "out")
    read = webdataset.WebDataset(
        [str(path) for path in sorted(out.glob("*.tar"))], shardshuffle=False
    ).decode("pilrgb")
    found = [
        (
            pixels(each["jpg"]),
            each["cls"],
            each["json"]["class_name"],
            each["txt"] or None,
            each["json"]["url"],
        )
        for each in read
    ]
    assert found == expected(home, images)
    names = (out / "classnames.txt").read_text("utf-8").splitlines()
    assert names == list(TASK.class_names)


def test_torchvision_reads_it(home: Home, tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    images = write_set(home, ".png")
    out = exported(home, images, "imagefolder", tmp_path / "out")
    lines = [json.loads(line) for line in (out / "metadata.jsonl").read_text("utf-8").splitlines()]
    by_file = {line["file_name"]: line for line in lines}
    read = ImageFolder(out)
    assert read.classes == ["F_A-18", "lily", "rose"]
    found = []
    for (path, _), (image, label) in zip(read.samples, read, strict=True):
        line = by_file[Path(path).relative_to(out).as_posix()]
        assert read.classes[label] == line["class_name"].replace("/", "_")
        values = (line["label"], line["class_name"], line["caption"], line["url"])
        found.append((pixels(image), *values))
    assert sorted(found, key=str) == sorted(expected(home, images), key=str)


@pytest.mark.parametrize("kind", FORMATS)
def test_datasets_reads_it(
    home: Home, images: ImageSet, tmp_path: Path, kind: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    out = exported(home, images, kind, tmp_path / "out")
    read = datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache"))
    found = []
    for row in read:
        if kind == "webdataset":
            image, facts = row["jpg"], row["json"]
            facts = {**facts, "label": row["cls"], "caption": row["txt"] or None}
        else:
            image, facts = row["image"], row
        values = (facts["label"], facts["class_name"], facts["caption"], facts["url"])
        found.append((pixels(image), *values))
    assert sorted(found, key=str) == sorted(expected(home, images), key=str)
    if kind == "parquet":
        assert read.features["label"].names == list(TASK.class_names)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_is_a_pool(home: Home, images: ImageSet, tmp_path: Path, kind: Format) -> None:
    out = exported(home, images, kind, tmp_path / "out")
    rows = images.index().filter(pl.col("caption").is_not_null() & (pl.col("class_name") != "none"))
    pool = Pool.find(str(out), home)
    found = classes(scan_pool(home, pool, flowers("rose", "F/A-18", "lily")), TASK)
    assert sorted(found.values()) == sorted(rows["class_name"])


@pytest.mark.parametrize("kind", ["webdataset", "parquet", "imagefolder"])
def test_twice_the_same_and_a_killed_export_leaves_nothing(
    home: Home, images: ImageSet, tmp_path: Path, kind: Format
) -> None:
    first = exported(home, images, kind, tmp_path / "first")
    program = (
        "import os, sys; from bench.exports import export, items\n"
        "real = items.items\n"
        "def killed(found):\n"
        "    for at, item in enumerate(real(found)):\n"
        "        if at == 9: os.kill(os.getpid(), 9)\n"
        "        yield item\n"
        "export.items = killed\n"
        "from bench.cli import main\n"
        "main(sys.argv[1:])"
    )
    words = ["images", "export", str(images.folder), "--format", kind, "--out"]
    second = tmp_path / "second"
    killed = subprocess.run(
        [sys.executable, "-c", program, *words, str(second)],
        env={"BENCH_HOME": str(home.root), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert killed.returncode == -9
    assert not second.exists()
    exported(home, images, kind, second)
    assert contents(first) == contents(second)
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second", home.root.name}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_card_says_what_is_known(home: Home, images: ImageSet, tmp_path: Path) -> None:
    text = (exported(home, images, "parquet", tmp_path / "out") / "README.md").read_text("utf-8")
    _, header, body = text.split("---\n", 2)
    values = yaml.safe_load(header)
    assert values["license"] == "unknown"
    assert values["task_categories"] == ["image-classification"]
    for said in ("| 1 | F/A-18 | 5 |", "| 3 | none | 0 |", "laion", "matched: 20", "No licence"):
        assert said in body
    assert "/home/someone" not in text


def test_the_command(bench: Bench, home: Home, tmp_path: Path) -> None:
    images = write_set(home)
    words = ("images", "export", images.folder.name, "--format", "imagefolder")
    done = bench(*words, "--out", str(tmp_path / "out"), "--license", "cc-by-4.0", "--json")
    assert done.json["images"] == 15
    assert "license: cc-by-4.0" in (tmp_path / "out" / "README.md").read_text("utf-8")
    again = bench(*words, "--out", str(tmp_path / "out"))
    assert (again.code, "exists; give a new folder" in again.complaint) == (2, True)
    wrong = bench("images", "export", "images-0", *words[3:], "--out", str(tmp_path / "other"))
    assert (wrong.code, "unknown image set or run 'images-0'" in wrong.complaint) == (2, True)
    assert not (tmp_path / "other").exists()
    refused = bench(*words, "--out", "/proc/out")
    assert (refused.code, "choose another place" in refused.complaint) == (2, True)


def test_a_damaged_image_is_not_exported(home: Home, images: ImageSet, tmp_path: Path) -> None:
    shard = home.data / images.index()["shard"][0]
    content = shard.read_bytes()
    shard.write_bytes(content[:600] + b"x" + content[601:])
    with pytest.raises(Exception, match="not the one that was indexed"):
        exported(home, images, "webdataset", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_our_own_reader_takes_the_labels_back(home: Home, images: ImageSet, tmp_path: Path) -> None:
    out = exported(home, images, "webdataset", tmp_path / "out")
    found = labelled_images(out / "00000.tar", TASK)
    assert [image.label for image in found] == images.index()["label"].to_list()


def test_classes_whose_folders_would_be_one_are_told_apart() -> None:
    names = ["a/b", "a:b", "A_B", "c", ".hidden", "dot."]
    assert folder_names(names) == ["a_b (0)", "a_b (1)", "A_B (2)", "c", "_hidden", "dot_"]
    assert folder_names(["README.md", "a"]) == ["README.md (0)", "a"]


def test_a_run_exports_what_it_was_trained_on(
    bench: Bench, home: Home, preset: Path, colours: Path, tmp_path: Path
) -> None:
    words = ("run", "--preset", str(preset), "--source", "real", "--task", "aircraft", "--n", "6")
    run = bench(*words, "--json").json["run_id"]
    done = bench("images", "export", run[:8], "--format", "parquet", "--out", str(tmp_path / "o"))
    assert done.out == f"{tmp_path / 'o'}: 6 images\n"
    table = pl.concat(pl.read_parquet(path) for path in (tmp_path / "o" / "data").iterdir())
    assert table.height == 6
    assert all(Image.open(io.BytesIO(image["bytes"])).size for image in table["image"])
    assert f"as run {run} used them" in (tmp_path / "o" / "README.md").read_text("utf-8")
