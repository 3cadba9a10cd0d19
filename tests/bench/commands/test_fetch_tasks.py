"""Fetching tasks: archives in the official layouts over a bad network, and data sets of the Hub."""

import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import torchvision

from bench.core.config import parse_config
from bench.core.paths import Home
from bench.core.task import SPLITS
from bench.plugins import tasks
from bench.tasks import PublishedTask, find_task
from tests.conftest import Bench
from tests.support import hub
from tests.support.archives import Archives, serving
from tests.support.origins import Table, write_parquet, write_webdataset
from tests.support.published import small_aircraft, small_flowers

TABLE: Table = {"train": ["pear", "fig"] * 5, "test": ["fig", "pear", "pear"]}


@pytest.fixture
def archives(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archives]:
    """The archives of small copies of aircraft and flowers, on a server; the home has nothing."""
    known = {"aircraft": small_aircraft(home), "flowers": small_flowers(home, monkeypatch)}
    for name, task in known.items():
        monkeypatch.setitem(tasks._loaded, name, task)
    aircraft, flowers = home.tasks / "aircraft", home.tasks / "flowers/flowers-102"
    files = {
        "fgvc-aircraft-2013b.tar.gz": packed(aircraft, "fgvc-aircraft-2013b"),
        "102flowers.tgz": packed(flowers, "jpg"),
        **{name: (flowers / name).read_bytes() for name in ("imagelabels.mat", "setid.mat")},
    }
    shutil.rmtree(home.tasks)
    with serving(files) as server:
        url = f"{server.url}/fgvc-aircraft-2013b.tar.gz"
        monkeypatch.setattr(torchvision.datasets.FGVCAircraft, "_URL", url)
        prefix = f"{server.url}/"
        monkeypatch.setattr(torchvision.datasets.Flowers102, "_download_url_prefix", prefix)
        digest = hashlib.md5(files["102flowers.tgz"], usedforsecurity=False).hexdigest()
        file_dict = dict(torchvision.datasets.Flowers102._file_dict)
        file_dict["image"] = ("102flowers.tgz", digest)
        monkeypatch.setattr(torchvision.datasets.Flowers102, "_file_dict", file_dict)
        yield server


def packed(folder: Path, name: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        tar.add(folder / name, name)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["aircraft", "flowers"])
def test_a_task_is_fetched_over_a_slow_network_once(
    bench: Bench, archives: Archives, home: Home, name: str
) -> None:
    archives.pause = 0.02
    done = bench("fetch", "--task", name)
    assert done.code == 0, done.err
    assert done.out == f"task {name} is in {home.tasks / name}\n"
    find_task(name).check(home)
    before = len(archives.asked)
    assert bench("fetch", "--task", name).code == 0
    assert len(archives.asked) == before
    assert [path.name for path in home.tasks.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "archive"), [("aircraft", "fgvc-aircraft-2013b.tar.gz"), ("flowers", "102flowers.tgz")]
)
def test_a_download_that_broke_off_is_no_task_and_is_resumed(
    bench: Bench, archives: Archives, home: Home, name: str, archive: str
) -> None:
    archives.cut.add(archive)
    half = len(archives.files[archive]) // 2
    broken = bench("fetch", "--task", name)
    assert broken.code == 1
    assert f"{archive} ends after {half:,} of" in broken.err.splitlines()[-1]
    assert not (home.tasks / name).exists()
    assert bench("fetch", "--task", name).code == 0
    assert [start for asked, start in archives.asked if asked == archive] == [0, half]
    find_task(name).check(home)


def test_another_checksum_is_never_taken_for_the_task(
    bench: Bench, archives: Archives, home: Home
) -> None:
    whole = archives.files["102flowers.tgz"]
    archives.files["102flowers.tgz"] = whole[:-1] + bytes([whole[-1] ^ 1])
    wrong = bench("fetch", "--task", "flowers")
    assert wrong.code == 1
    assert "an archive has not the published MD5" in wrong.err.splitlines()[-1]
    assert not (home.tasks / "flowers").exists()
    archives.files["102flowers.tgz"] = whole
    assert bench("fetch", "--task", "flowers").code == 0


def test_what_a_kill_left_half_unpacked_is_unpacked_again(
    bench: Bench, archives: Archives, home: Home
) -> None:
    left = home.tasks / ".aircraft.partial/fgvc-aircraft-2013b/data/images"
    left.mkdir(parents=True)
    (left / "1025794.jpg").write_bytes(b"half of it")
    assert bench("fetch", "--task", "aircraft").code == 0
    find_task("aircraft").check(home)


def test_an_archive_cannot_write_elsewhere(
    bench: Bench, archives: Archives, home: Home, tmp_path: Path
) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../../outside"), io.BytesIO())
    archives.files["fgvc-aircraft-2013b.tar.gz"] = stream.getvalue()
    done = bench("fetch", "--task", "aircraft")
    assert done.code == 1
    assert "an archive of the task aircraft is damaged" in done.err.splitlines()[-1]
    assert not list(tmp_path.rglob("outside"))


def declared(origin: dict[str, object]) -> PublishedTask:
    values = {
        "name": "fruit",
        "version": 1,
        "class_names": ["fig", "pear"],
        "templates": ["a photo of a {}."],
        "domain_texts": ["a photo."],
        "val_of_train": 0.2,
        "split_sizes": {"train": 8, "val": 2, "test": 3},
        "origins": [{"repository": "lab/fruit", **origin}],
    }
    return parse_config(PublishedTask, values, "the task fruit")


KINDS: dict[str, tuple[dict[str, object], Callable[..., None]]] = {
    "parquet": (
        {"splits": {"train": "data/train-*.parquet", "test": "data/test-*.parquet"}},
        write_parquet,
    ),
    "webdataset": (
        {"splits": {"train": "train/*.tar", "test": "test/*.tar"}, "revision": hub.COMMIT},
        write_webdataset,
    ),
}


@pytest.mark.parametrize("reader", KINDS)
def test_a_task_of_the_hub_is_fetched_and_checked(
    bench: Bench, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    origin, write = KINDS[reader]
    write(tmp_path / "published", TABLE, ["pear", "fig"])
    (tmp_path / "published/model.bin").write_bytes(b"what is not needed")
    names = {"class_names": {"pear": "pear", "fig": "fig"}}
    task = declared({"reader": reader, **origin, **names})
    monkeypatch.setitem(tasks._loaded, "fruit", task)
    with hub.serving({"datasets/lab/fruit": tmp_path / "published"}) as server:
        constants = "huggingface_hub.constants"
        monkeypatch.setattr(f"{constants}.ENDPOINT", server.url)
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(f"{constants}.HF_HUB_DISABLE_XET", True)
        done = bench("fetch", "--task", "fruit")
    assert done.code == 0, done.err
    assert not (home.tasks / "fruit/lab--fruit/model.bin").exists()
    assert sum(len(task.split(split, home)) for split in SPLITS) == 13


def test_any_data_set_of_the_hub_is_a_task(
    bench_process: Bench, home: Home, tmp_path: Path
) -> None:
    write_parquet(tmp_path / "published", TABLE, ["pear", "fig"])
    name = f"hf:lab/fruit@{hub.COMMIT}"
    shown = bench_process("show", name)
    assert shown.code == 2
    assert shown.complaint.endswith(f"fetch it with `bench fetch --task {name}`")
    with hub.serving({"datasets/lab/fruit": tmp_path / "published"}) as server:
        server.cut.add("data/train-00000-of-00001.parquet")
        cut = bench_process("fetch", "--task", name, **server.environment)
        done = bench_process("fetch", "--task", name, **server.environment)
    assert 0 in (cut.code, done.code), done.err
    folder = home.tasks / f"hf/lab/fruit@{hub.COMMIT}"
    assert done.out == f"task {name} is in {folder}\n"
    shown = bench_process("show", name)
    assert "class_names:\n- pear\n- fig\n" in shown.out
    assert "a fifth to val" in shown.out
    assert msgspec.json.decode((folder / ".source.json").read_bytes())["commit"] == hub.COMMIT
