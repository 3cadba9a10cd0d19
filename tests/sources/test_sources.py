"""The sources: what is found, fetched, kept and dropped, and why."""

import io
import shutil
import tarfile
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from adapt.models import ClipEmbedder, load_clip
from bench.core.errors import BenchError, RequestError
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Task
from bench.core.work_selection import WorkSelection
from bench.miniworld.pool import read_truth
from bench.planning.preset import resolve
from bench.plugins import source_of
from bench.plugins.optional import SupportsEstimate
from bench.plugins.source import Context
from bench.storage.image_set import ImageSet, read_image
from bench.storage.stage import Stage, UnfinishedError
from bench.storage.tar_shards import decode, encode
from bench.tasks import find_task
from sources.download.download import download
from sources.download.options import DownloadOptions
from sources.mixed import apportion
from sources.pool.pool import Pool
from sources.pool.scan import candidates, scan
from tests.conftest import Bench, Web
from tests.support.source_options import options_of
from tests.support.tiny_clip import COLOURS, colour_task, square

QUIET = Progress(quiet=True)
MINI = find_task("mini-aircraft")


def context(home: Home, task: Task, n: int | None = None, seed: int = 0, **more: Any) -> Context:
    return Context(home, task, n, seed, embedder, QUIET, **more)


def embedder(name: str) -> ClipEmbedder:
    return ClipEmbedder(load_clip(Path(name)))


# ---------------------------------------------------------------- download


def small(place: str) -> DownloadOptions:
    return DownloadOptions(
        image_size=32, suffix=".png", shard_size=100, retries=0, allow_private=(place,)
    )


@pytest.fixture(scope="module")
def fetched(web: Web, tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Stage, Stage]:
    home = Home(tmp_path_factory.mktemp("fetched"))
    pool = Pool(str(web.pool), web.pool)
    scanned = scan(pool, MINI, context(home, MINI))
    return home, scanned, download(pool, scanned, small(web.host), context(home, MINI))


def index_of(stage: Stage) -> pl.DataFrame:
    return pl.concat(
        pl.read_parquet(shard / "index.parquet").with_columns(folder=pl.lit(str(shard)))
        for shard in stage.shards()
    )


def test_every_candidate_is_accounted_for(web: Web, fetched: tuple[Home, Stage, Stage]) -> None:
    _, scanned, stage = fetched
    matched, index = candidates(scanned), index_of(stage)
    assert index["key"].to_list() == matched["key"].to_list()
    assert len(stage.shards()) == -(-matched.height // 100) > 1
    truth = {row.path: row.status for row in read_truth(web.world)}
    statuses = [truth["images/" + url.rpartition("/")[2]] for url in matched["url"]]
    whole = [offset is not None for offset in index["offset"]]
    assert [status == "ok" for status in statuses] == whole
    assert 0 < statuses.count("ok") < len(statuses)
    assert stage.info()["fetched"] == statuses.count("ok")


def test_dead_links_and_non_images_are_counted_by_reason(
    web: Web, fetched: tuple[Home, Stage, Stage]
) -> None:
    _, scanned, stage = fetched
    truth = {row.path: row.status for row in read_truth(web.world)}
    expected = Counter(truth["images/" + u.rpartition("/")[2]] for u in candidates(scanned)["url"])
    failed = stage.info()["failed"]
    unreadable = expected["html"] + expected["truncated"] + expected["empty"]
    dead = {f"http {code}": expected[code] for code in ("404", "403", "500") if expected[code]}
    assert failed == {**dead, "not an image": unreadable}


def test_a_fetched_image_is_the_one_its_address_shows(
    web: Web, fetched: tuple[Home, Stage, Stage]
) -> None:
    from bench.miniworld.pool import image_of

    _, scanned, stage = fetched
    truth = {row.path: row for row in read_truth(web.world)}
    rows = candidates(scanned).join(index_of(stage).drop_nulls("offset"), on="key")
    assert rows.height > 50
    for row in rows.sample(25, seed=0).iter_rows(named=True):
        with (Path(row["folder"]) / "images.tar").open("rb") as stream:
            stream.seek(row["offset"])
            image = decode(stream.read(row["size"]))
        shown = image_of(truth["images/" + row["url"].rpartition("/")[2]])
        assert np.array_equal(np.asarray(image), shown)


@pytest.mark.slow
def test_a_shard_that_is_fetched_again_has_the_same_bytes(
    web: Web, fetched: tuple[Home, Stage, Stage], home: Home
) -> None:
    before, scanned, stage = fetched
    shutil.copytree(before.root, home.root)
    lost = home.data / stage.key / "00001"
    shutil.rmtree(lost)
    (home.data / stage.key / "done.json").unlink()
    pool = Pool(str(web.pool), web.pool)
    again = download(pool, scanned, small(web.host), context(home, MINI))
    assert again.output == stage.output
    for left, right in zip(again.shards(), stage.shards(), strict=True):
        assert sorted(path.name for path in left.iterdir()) == ["images.tar", "index.parquet"]
        for name in ("images.tar", "index.parquet"):
            assert (left / name).read_bytes() == (right / name).read_bytes()


# ---------------------------------------------------------------- retrieved


@pytest.fixture(scope="module")
def retrieved(
    web: Web, tiny_clip: Path, fetched: tuple[Home, Stage, Stage]
) -> tuple[Home, ImageSet]:
    home = fetched[0]
    return home, source_of("retrieved", retrieval(web, tiny_clip)).collect(context(home, MINI))


def retrieval(web: Web, tiny_clip: Path, **more: object) -> Json:
    return options_of(
        "retrieved", pool=str(web.pool), image_size=32, suffix=".png", shard_size=100, retries=0,
        allow_private=[web.host], filter__model=str(tiny_clip), **{"tau": -1, **more},
    )  # fmt: skip


def test_captions_and_labels_stay_with_their_images(
    web: Web, retrieved: tuple[Home, ImageSet]
) -> None:
    home, images = retrieved
    pool = pl.concat(pl.read_parquet(file) for file in sorted(web.pool.glob("*.parquet")))
    texts = dict(pool.select("URL", "TEXT").iter_rows())
    rows = images.index()
    assert rows.height == len(images) > 50
    for row in rows.iter_rows(named=True):
        assert row["caption"] == texts[row["url"]]
        assert MINI.query(row["class_name"]).any[0].lower() in row["caption"].lower()
        assert MINI.class_names[row["label"]] == row["class_name"]
        image = read_image(home.data, row["shard"], row["offset"], row["size"], row["sha256"])
        assert image.size == (row["width"], row["height"])
    assert set(rows["origin"]) == {"retrieved"}
    assert rows["key"].n_unique() == rows.height


def test_the_counts_add_up(retrieved: tuple[Home, ImageSet]) -> None:
    stage_counts = retrieved[1].manifest.stage_counts
    assert stage_counts["rows"] == 600
    assert stage_counts["matched"] - sum(stage_counts["failed"].values()) == stage_counts["fetched"]
    duplicates = stage_counts["duplicates"]
    dropped = sum(count for count in duplicates.values() if isinstance(count, int))
    assert stage_counts["fetched"] - stage_counts["below tau"] - dropped == stage_counts["kept"]
    assert len(retrieved[1]) == stage_counts["kept"]


def test_what_was_dropped_is_written_beside_the_images(retrieved: tuple[Home, ImageSet]) -> None:
    images = retrieved[1]
    stage_counts = images.manifest.stage_counts
    names = {path.name for path in images.folder.iterdir()}
    assert {"scores.parquet", "filtered.png", "removed.parquet", "removed.png"} <= names
    scores = pl.read_parquet(images.folder / "scores.parquet")
    assert scores.height == stage_counts["decodable"]
    assert scores.height - scores["passed"].sum() == stage_counts["below tau"]
    removed = pl.read_parquet(images.folder / "removed.parquet")
    reasons = dict(removed.group_by("reason").len().iter_rows())
    assert reasons == {name: n for name, n in stage_counts["duplicates"].items() if name in reasons}
    assert scores["passed"].sum() - removed.height == len(images)


def test_copies_of_test_images_do_not_get_through(
    web: Web, retrieved: tuple[Home, ImageSet]
) -> None:
    leaks = {row.path for row in read_truth(web.world) if row.kind == "leak"}
    kept = {"images/" + url.rpartition("/")[2] for url in retrieved[1].index()["url"]}
    removed = retrieved[1].manifest.stage_counts["duplicates"]["copies of val or test images"]
    matched = [
        row
        for row in read_truth(web.world)
        if row.kind == "leak" and row.domain == "aircraft" and row.status == "ok"
    ]
    # The pool's copies are brightened, noisy or cropped by a pixel (docs/retrieval.md).
    assert removed >= 1
    assert len(kept & leaks) <= max(1, len(matched) // 5)


def test_a_higher_threshold_keeps_a_part_of_the_same_images(
    web: Web, tiny_clip: Path, retrieved: tuple[Home, ImageSet]
) -> None:
    home, everything = retrieved
    scores = everything.index()["clip_score"]
    tau = float(scores.median())  # type: ignore[arg-type]
    chosen = source_of("retrieved", retrieval(web, tiny_clip, tau=tau)).collect(context(home, MINI))
    rows = chosen.index()
    assert 0 < rows.height < everything.index().height
    assert rows["clip_score"].min() > tau  # type: ignore[operator]
    # Nothing is scanned, fetched or scored again for another threshold.
    stages = Counter(path.name.partition("-")[0] for path in home.data.iterdir() if path.is_dir())
    made = ("scan", "download", "embed", "score")
    assert [stages[name] for name in made] == [1, 1, 1, 1]


def test_some_shards_may_be_made_by_another_worker(
    web: Web, tiny_clip: Path, home: Home, retrieved: tuple[Home, ImageSet]
) -> None:
    for made in ("scan-*", "download-*"):
        (folder,) = retrieved[0].data.glob(made)
        shutil.copytree(folder, home.data / folder.name)
    source = source_of("retrieved", retrieval(web, tiny_clip))
    with pytest.raises(UnfinishedError, match="embed-"):
        source.collect(context(home, MINI, selection=WorkSelection(shards=range(1))))
    images = source.collect(context(home, MINI, selection=WorkSelection(shards=range(1, 99))))
    assert images.manifest == retrieved[1].manifest


# ---------------------------------------------------------------- mixed


def texture(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)


shares = st.lists(st.integers(1, 100), min_size=1, max_size=5).map(
    lambda parts: {f"p{i}": Fraction(part, sum(parts)) for i, part in enumerate(parts)}
)


@given(st.integers(0, 400), shares)
def test_a_mixture_has_n_images_in_proportion_and_grows_by_adding(
    n: int, parts: dict[str, Fraction]
) -> None:
    counts, more = apportion(n, parts), apportion(n + 1, parts)
    assert sum(counts.values()) == n
    assert all(abs(counts[name] - n * share) <= len(parts) / 2 for name, share in parts.items())
    assert all(counts[name] <= more[name] for name in parts)


@given(st.integers(0, 200), shares)
def test_apportioning_equals_giving_images_out_one_by_one(
    n: int, parts: dict[str, Fraction]
) -> None:
    counts = dict.fromkeys(parts, 0)
    for _ in range(n):
        counts[min(parts, key=lambda name: (counts[name] + Fraction(1, 2)) / parts[name])] += 1
    assert apportion(n, parts) == counts


def test_large_mixtures_are_apportioned_at_once() -> None:
    parts = {"a": Fraction(3, 10), "b": Fraction(7, 10)}
    assert apportion(10**9, parts) == {"a": 3 * 10**8, "b": 7 * 10**8}


@pytest.fixture
def mixture(preset: Path, colours: Path, tmp_path: Path, home: Home) -> Any:
    # Seven images of one source, twelve of the other; all differ from the task's.
    own = tmp_path / "own"
    for label, name in enumerate(COLOURS):
        (own / name).mkdir(parents=True)
        for index in range(4):
            texture(100 + 10 * label + index).save(own / name / f"{index}.png")

    def collect(n: int | None, **ratio: float) -> ImageSet:
        parts = [f"source.parts.{name}={share}" for name, share in ratio.items()]
        spec = resolve(
            str(preset), task=str(colours), source="mixed", n=n,
            settings=[*parts, f"source.options.folder.path={own}"],
        )  # fmt: skip
        return source_of("mixed", spec.options).collect(context(home, find_task(str(colours)), n))

    return collect


@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_a_mixture_keeps_its_proportions_and_its_number(mixture: Any, n: int) -> None:
    rows = mixture(n, real=0.7, folder=0.3).index()
    counts = Counter(rows["origin"])
    assert rows.height == n
    assert counts["real"] == apportion(n, {"r": Fraction(7, 10), "f": Fraction(3, 10)})["r"]


def test_all_of_a_mixture_is_what_the_scarcest_part_allows(mixture: Any) -> None:
    # 24 real images, 12 of the folder.
    assert Counter(mixture(None, real=0.5, folder=0.5).index()["origin"]) == {
        "real": 12,
        "folder": 12,
    }
    assert Counter(mixture(None, real=0.9, folder=0.1).index()["origin"])["real"] == 24


def test_smaller_mixtures_are_parts_of_larger_ones(mixture: Any) -> None:
    few, many = (set(mixture(n, real=0.5, folder=0.5).index()["key"]) for n in (7, 12))
    assert few < many


@pytest.mark.parametrize("n", [None, 4])
def test_an_empty_part_is_named(
    home: Home, tmp_path: Path, tiny_clip: Path, colours: Path, n: int | None
) -> None:
    task = find_task(str(colours))
    for name in COLOURS:
        shutil.copytree(colours / "test" / name, tmp_path / "leaks" / name)
    folder = options_of("folder", path=str(tmp_path / "leaks"), filter__model=str(tiny_clip))
    options = {"parts": {"real": 1, "folder": 1}, "options": {"real": {}, "folder": folder}}
    with pytest.raises(RequestError, match=r"'folder' (has 0|of the mixture has no images)"):
        source_of("mixed", options).collect(context(home, task, n))


def test_a_part_of_no_images_is_not_made_and_costs_nothing(home: Home, colours: Path) -> None:
    absent = options_of("synthetic", generation__model="nowhere", filter__model="nowhere")
    options = {
        "parts": {"real": 0.9, "synthetic": 0.1},
        "options": {"real": {}, "synthetic": absent},
    }
    source = source_of("mixed", options)
    assert isinstance(source, SupportsEstimate)
    assert len(source.collect(context(home, find_task(str(colours)), 2))) == 2
    assert source.estimate(context(home, find_task(str(colours)), 2)) == {"real": "unknown"}


def test_a_part_with_too_few_images_says_so(mixture: Any) -> None:
    with pytest.raises(RequestError, match=r"'folder' has 12"):
        mixture(40, real=0.5, folder=0.5)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ("{}", "needs parts"),
        ("{real: 0}", "above zero"),
        ("{real: -1, folder: 2}", "above zero"),
        ("{none: 1}", "cannot be part"),
        ("{mixed: 1}", "part"),
        ("{reel: 1}", "did you mean real"),
        ("3", "parts"),
    ],
)
def test_a_wrong_mixture_is_a_request_error(
    bench: Bench, preset: Path, parts: str, why: str
) -> None:
    words = ["run", "--preset", str(preset), "--source", "mixed", "--task", "aircraft"]
    words += ["--set", f"source.parts={parts}", "--set", "source.options.folder.path=/"]
    done = bench(*words)
    assert done.code == 2
    assert why in done.complaint


# ---------------------------------------------------------------- folder and real


def own_images(root: Path, names: Sequence[str] = tuple(COLOURS), count: int = 3) -> Path:
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for index in range(count):
            texture(500 + 10 * label + index).save(root / name / f"{index}.png")
    return root


def from_folder(home: Home, root: Path, tiny_clip: Path, task: Task, **more: object) -> ImageSet:
    small = {"image_size": 32, "suffix": ".png"}
    options = options_of("folder", path=str(root), filter__model=str(tiny_clip), **small)
    return source_of("folder", {**options, **more}).collect(context(home, task))


def test_a_tree_of_class_folders_is_read_by_name(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    root = own_images(tmp_path / "own", ["green", "blue"])
    images = from_folder(home, root, tiny_clip, colour_task())
    assert images.manifest.counts == {"red": 0, "green": 3, "blue": 3}
    for row in images.index().iter_rows(named=True):
        assert row["class_name"] == tuple(COLOURS)[row["label"]]


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def png(seed: int) -> bytes:
    return encode(texture(seed), ".png")


def test_webdataset_tars_are_read_with_either_kind_of_label(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    write_tar(tmp_path / "0.tar", {"a.png": png(1), "a.cls": b"2", "b.cls": b"0", "b.png": png(2)})
    write_tar(tmp_path / "1.tar", {"a.json": b'{"class_name": "green"}', "a.png": png(3)})
    images = from_folder(home, tmp_path, tiny_clip, colour_task())
    assert images.manifest.counts == {"red": 1, "green": 1, "blue": 1}
    pixels = {
        row["class_name"]: read_image(
            home.data, row["shard"], row["offset"], row["size"], row["sha256"]
        )
        for row in images.index().iter_rows(named=True)
    }
    assert np.array_equal(np.asarray(pixels["blue"]), np.asarray(texture(1)))


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"a.png": b""}, "the image a has no label"),
        ({"a.png": b"", "a.cls": b"3"}, "there is no class 3; classes count from 0 to 2"),
        ({"a.png": b"", "a.cls": b"-1"}, "there is no class -1"),
        ({"a.png": b"", "a.cls": b"red"}, "is not a label"),
        ({"a.png": b"", "a.json": b"{"}, "is not a label"),
        ({"a.png": b"", "a.json": b'{"class_name": "gren"}'}, "did you mean green"),
        ({"a.png": b"", "a.json": b'{"label": 1}'}, "has no label"),
    ],
)
def test_a_wrong_label_in_a_tar_is_named(
    home: Home, tmp_path: Path, members: dict[str, bytes], why: str
) -> None:
    write_tar(tmp_path / "0.tar", members)
    with pytest.raises(RequestError) as caught:
        from_folder(home, tmp_path, Path("unused"), colour_task())
    assert why in str(caught.value)


def test_a_truncated_tar_of_ones_own_is_never_to_be_deleted(home: Home, tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", {"a.cls": b"0", "a.png": png(1)})
    (tmp_path / "0.tar").write_bytes((tmp_path / "0.tar").read_bytes()[:2000])
    with pytest.raises(BenchError, match=r"0\.tar is corrupt .*put a whole copy") as caught:
        from_folder(home, tmp_path, Path("unused"), colour_task())
    assert "delete" not in str(caught.value)


def test_an_unknown_class_folder_gets_a_near_miss(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path
) -> None:
    root = own_images(tmp_path / "own", ["red", "gren"])
    done = folder_run(bench, preset, colours, root)
    assert done.code == 2
    assert "unknown class of task colours 'gren'; did you mean green?" in done.err.splitlines()[-1]


def folder_run(bench: Bench, preset: Path, colours: Path, root: Path) -> Any:
    return bench("run", "--preset", str(preset), "--source", "folder", "--task", str(colours),
                 "--set", f"source.path={root}", "--json")  # fmt: skip


@pytest.mark.parametrize("empty", ["class", "everything"])
def test_an_empty_class_folder_is_a_wrong_request(
    bench: Bench, preset: Path, colours: Path, tmp_path: Path, empty: str
) -> None:
    root = tmp_path / "own"
    root.mkdir()
    if empty == "class":
        own_images(root, ["red"])
        (root / "green").mkdir()
    done = folder_run(bench, preset, colours, root)
    assert done.code == 2
    why = "class folder" if empty == "class" else "holds neither class folders nor tars"
    assert why in done.err.splitlines()[-1]


def test_unreadable_images_are_skipped_and_counted(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    root = own_images(tmp_path / "own")
    (root / "red" / "broken.png").write_bytes(b"no image")
    (root / "red" / "cut.png").write_bytes(png(900)[:200])
    (root / "red" / "nowhere.png").symlink_to(root / "gone.png")
    (root / "red" / "folder.png").mkdir()
    (root / "red" / "notes.txt").write_text("not an image, and not said to be one")
    images = from_folder(home, root, tiny_clip, colour_task())
    stage_counts = images.manifest.stage_counts
    steps = ("matched", "fetched", "unreadable")
    assert [stage_counts[step] for step in steps] == [11, 9, 2]
    assert len(images) == stage_counts["kept"] == 9


def test_other_images_in_the_same_folder_are_another_set(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    root = own_images(tmp_path / "own")
    first = from_folder(home, root, tiny_clip, colour_task())
    texture(999).save(root / "red" / "0.png")
    assert from_folder(home, root, tiny_clip, colour_task()).manifest != first.manifest


def test_large_images_are_reduced_and_none_is_enlarged(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    for name, size in (("red", (100, 50)), ("green", (20, 10)), ("blue", (1, 400))):
        (tmp_path / "own" / name).mkdir(parents=True)
        texture(len(name)).resize(size).save(tmp_path / "own" / name / "0.png")
    rows = from_folder(home, tmp_path / "own", tiny_clip, colour_task()).index().sort("label")
    assert rows.select("width", "height").rows() == [(32, 16), (20, 10), (1, 32)]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_exact_copies_of_test_images_are_dropped_however_they_are_kept(
    home: Home, tmp_path: Path, tiny_clip: Path, suffix: str
) -> None:
    for split, start in (("train", 0), ("val", 10), ("test", 20)):
        for label, name in enumerate("ab"):
            folder = tmp_path / "task" / split / name
            folder.mkdir(parents=True)
            photograph(start + label).save(folder / "0.jpg", quality=90)
    task = find_task(str(tmp_path / "task"))
    for label, name in enumerate("ab"):
        (tmp_path / "own" / name).mkdir(parents=True)
        photograph(30 + label).save(tmp_path / "own" / name / "new.png")
        for split in ("val", "test"):
            # The same pixels in another format.
            copied = task.split(split, home).read(label)
            copied.save(tmp_path / "own" / name / f"{split}.png")
    images = from_folder(home, tmp_path / "own", tiny_clip, task, image_size=40, suffix=suffix)
    assert images.manifest.counts == {"a": 1, "b": 1}
    assert images.manifest.stage_counts["duplicates"]["copies of val or test images"] == 4


def photograph(seed: int) -> Image.Image:
    """An image larger than it is kept, with fine structure."""
    fine = np.random.default_rng(seed).integers(-20, 21, (90, 120, 3))
    shown = np.asarray(texture(seed).resize((120, 90))).astype(int) + fine
    return Image.fromarray(shown.clip(0, 255).astype("uint8"))


def test_distinct_small_images_all_stay(home: Home, tmp_path: Path, tiny_clip: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    for index, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        split = ("own", "task/train", "task/val", "task/test")[index % 4]
        folder = tmp_path / split / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype("uint8")).save(folder / f"{index}.png")
    task = find_task(str(tmp_path / "task"))
    images = from_folder(home, tmp_path / "own", tiny_clip, task)
    assert len(images) == images.manifest.stage_counts["fetched"] == 450


def test_real_images_are_the_training_split(home: Home) -> None:
    images = source_of("real", {"image_size": 32, "suffix": ".png"}).collect(context(home, MINI))
    split = MINI.split("train", home)
    assert len(images) == len(split)
    shown = Counter((int(label), split.read(i).tobytes()) for i, label in enumerate(split.labels))
    kept = Counter(
        (
            row["label"],
            read_image(
                home.data, row["shard"], row["offset"], row["size"], row["sha256"]
            ).tobytes(),
        )
        for row in images.index().iter_rows(named=True)
    )
    assert kept == shown


def test_real_images_may_have_long_and_strange_names(home: Home, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            (tmp_path / "t" / split / name / "sub").mkdir(parents=True)
            for file in ("x" * 200, "sub/é 漢.v2", "sub-é 漢.v2"):
                square(1, len(file)).save(tmp_path / "t" / split / name / f"{file}.png")
    task = find_task(str(tmp_path / "t"))
    images = source_of("real", {"suffix": ".png"}).collect(context(home, task))
    assert images.manifest.counts == {"a": 3, "b": 3}
    assert images.index()["key"].n_unique() == 6


# ---------------------------------------------------------------- options


NEEDED = {
    "real": {},
    "folder": {"path": "p", "filter__model": "m"},
    "retrieved": {"pool": "p", "filter__model": "m"},
    "synthetic": {"generation__model": "g", "filter__model": "m"},
}


@pytest.mark.parametrize(
    ("source", "option", "values"),
    [
        *((name, "image_size", (0, -1)) for name in NEEDED),
        *((name, "suffix", ("png", ".webp")) for name in NEEDED),
        *(("retrieved", name, (0,)) for name in ("shard_size", "threads", "timeout_s")),
        *(("synthetic", name, (0,)) for name in ("generation__shard_size", "block_size")),
        *(("synthetic", name, (0,)) for name in ("captions__shard_size", "batch_size")),
        *(("synthetic", name, (0, -8)) for name in ("size", "steps", "height")),
        ("retrieved", "retries", (-1,)),
        ("retrieved", "quality", (0, 101)),
        ("retrieved", "tau", (-1.1, 1.1, float("nan"))),
        ("synthetic", "guidance", (-0.1, float("nan"))),
        ("synthetic", "dtype", ("fp8",)),
        ("folder", "max_distance", (-1, 257)),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(
    source: str, option: str, values: Sequence[object]
) -> None:
    source_of(source, options_of(source, **NEEDED[source]))
    name = option.replace("__", ".")
    for value in values:
        with pytest.raises(RequestError, match=rf"the source {source}: ([a-z]+\.)?{name}: "):
            source_of(source, options_of(source, **NEEDED[source], **{option: value}))


def test_showing_a_source_tells_what_is_required_and_what_is_the_default(bench: Bench) -> None:
    lines = bench("show", "mixed").out.splitlines()
    assert "  parts = required" in lines
    assert "  options = {}" in lines
    lines = bench("show", "retrieved").out.splitlines()
    assert "  filter.rule = 'threshold' (or class-threshold, top-fraction)" in lines
    assert "  filter.cap = 10000 (top-fraction)" in lines


def test_no_images_are_an_empty_set(home: Home) -> None:
    images = source_of("none", {}).collect(context(home, MINI, 0))
    assert len(images) == images.index().height == 0
