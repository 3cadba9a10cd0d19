"""The image set: what a source hands to the training.

A folder with ``index.parquet`` (one row per image, pointing into tar shards below the data
folder) and ``manifest.json``, which is written last: its presence means complete.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl
from msgspec import UNSET, UnsetType
from PIL import Image

from bench.core.config import Config
from bench.core.errors import BenchError, RequestError, TooFewImagesError
from bench.core.files import read_parquet, write_json, write_parquet
from bench.core.json_values import Json, digest
from bench.core.size import format_size
from bench.core.task import NO_LABEL, Task
from bench.storage.image_codec import decode
from bench.storage.tar_shards import INDEX_SCHEMA, corrupt, read_bytes, sha256

_LATER = ("copy", "pair")
"""Columns that earlier image sets have not, and sources need not give."""


class Manifest(Config, frozen=True, kw_only=True):
    """What an image set is and where it came from."""

    source: str
    options: Json
    task: str
    counts: dict[str, int]
    """Images per class."""
    stage_counts: Json
    """Images left after each stage, with reasons for the rest."""
    content: str
    """Hash of every image's key, label and SHA-256."""
    loss: str = ""
    """What most images were lost to, for the error that there are too few."""
    remedy: str = ""
    """What to do about that."""
    others: int | UnsetType = UNSET
    """Images of no class, if there are any."""


@dataclass(frozen=True)
class ImageSet:
    """A set of labelled images on disk.

    Attributes:
        folder: The set's own folder.
        data: The folder that the index's shard paths are relative to.
        manifest: What the set is.
    """

    folder: Path
    data: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path, data: Path) -> "ImageSet":
        """Open a complete image set.

        Raises:
            BenchError: If the set is incomplete or unreadable.
        """
        try:
            content = (folder / "manifest.json").read_bytes()
            manifest = msgspec.json.decode(content, type=Manifest)
        except (OSError, msgspec.MsgspecError) as error:
            raise BenchError(
                f"the image set {folder} has no readable manifest", "delete it and run again"
            ) from error
        return cls(folder, data, manifest)

    @classmethod
    def write(  # noqa: PLR0913, PLR0917 (what a manifest says)
        cls,
        data: Path,
        rows: pl.DataFrame,
        task: Task,
        source: str,
        options: Json,
        stage_counts: Json,
        loss: tuple[str, str] = ("", ""),
    ) -> "ImageSet":
        """Write an image set, or return the equal one that exists.

        Args:
            data: The data folder; the set goes to a folder named by its hash below it.
            rows: One row per image, with the columns of `INDEX_SCHEMA`. Images of one caption share
                its ``caption_id``; where that is missing, each image's key stands for it. ``copy``
                is which image of its caption one is, from 0, and ``pair`` the template that the
                caption came from; where they are missing, they are null.
            task: The task whose classes the labels index; `NO_LABEL` is that of an image of none.
            source: The source's name.
            options: The source's options.
            stage_counts: What each stage kept.
            loss: What most images were lost to, and what to do about it.
        """
        if "caption_id" not in rows.columns:
            rows = rows.with_columns(caption_id="key")
        rows = rows.with_columns(pl.col("caption_id").fill_null(pl.col("key")))
        rows = _columns(rows)
        rows = rows.with_columns(pl.col("class_name").str.normalize("NFC")).sort("key")
        labelled = rows.filter(pl.col("label") != NO_LABEL)
        per_class = dict(labelled.group_by("class_name").len().iter_rows())
        manifest = Manifest(
            source=source,
            options=options,
            task=task.fingerprint,
            counts={name: per_class.get(name, 0) for name in task.class_names},
            stage_counts=stage_counts,
            content=_content_hash(rows),
            loss=loss[0],
            remedy=loss[1],
            others=(rows.height - labelled.height) or UNSET,
        )
        folder = data / f"images-{digest(manifest)}"
        # The same images may be elsewhere by now, in a stage that was run again.
        if not (folder / "manifest.json").is_file() or not _holds(folder / "index.parquet", rows):
            write_parquet(folder / "index.parquet", rows)
            write_json(folder / "manifest.json", manifest)
        return cls(folder, data, manifest)

    def __len__(self) -> int:
        return sum(self.manifest.counts.values()) + (self.manifest.others or 0)

    def index(self) -> pl.DataFrame:
        """Return the index, one row per image.

        Raises:
            BenchError: If the index is unreadable or not the manifest's.
        """
        path = self.folder / "index.parquet"
        try:
            rows = _columns(read_parquet(path))
            content = _content_hash(rows)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise self._corrupt(str(error)) from error
        if content != self.manifest.content:
            raise self._corrupt("its index does not match its manifest")
        return rows

    def select(self, n: int | None, seed: int, order: str) -> pl.DataFrame:
        """Return a sample: the first n rows in an order that depends on the seed and the keys.

        Samples of one seed are nested, and images of one caption come together. In ``balanced``
        order the classes take turns, caption by caption; what has none takes turns as one.

        Raises:
            TooFewImagesError: If there are fewer than n images.
            RequestError: If there are none at all.
        """
        have = len(self)
        if have == 0 or (n is not None and n > have):
            raise self._too_few(n, have)
        rows = self.index()
        ranks = [_rank(seed, caption) for caption in rows["caption_id"]]
        rows = rows.with_columns(pl.Series("rank", ranks)).sort("rank", "key")
        if order == "balanced":
            turn = pl.col("rank").rank("dense").over("label")
            rows = rows.with_columns(turn.alias("turn")).sort("turn", "rank", "key").drop("turn")
        return rows.drop("rank").head(n if n is not None else have)

    def _too_few(self, n: int | None, have: int) -> RequestError:
        manifest = self.manifest
        what = (
            f"{format_size(n)} images asked for, but the source {manifest.source!r} "
            f"has {have} for task {manifest.task.split('@')[0]!r}"
        )
        what += f": {manifest.loss}" if manifest.loss else ""
        if not have:
            where = self.folder / "manifest.json"
            return RequestError(what, manifest.remedy or f"look at the stage_counts in {where}")
        fewer = f"ask for --n {have} or fewer, or --n all"
        return TooFewImagesError(what, f"{manifest.remedy}, or {fewer}".removeprefix(", or "))

    def _corrupt(self, why: str) -> BenchError:
        return BenchError(
            f"the image set {self.folder} is corrupt ({why})", "delete that folder and run again"
        )


def read_image(data: Path, shard: str, offset: int, size: int, digest_: str) -> Image.Image:
    """Read and check one image of a set.

    Raises:
        BenchError: If the shard no longer holds the image that the index names.
    """
    content = read_bytes(data / shard, offset, size)
    if sha256(content) != digest_:
        raise corrupt(data / shard, "an image is not the one that was indexed")
    try:
        return decode(content)
    except ValueError as error:
        raise corrupt(data / shard, str(error)) from error


def _columns(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with the columns of an index alone; those that rows may lack are null."""
    missing = [name for name in _LATER if name not in rows.columns]
    rows = rows.with_columns(pl.lit(None).alias(name) for name in missing)
    return rows.select(pl.col(name).cast(kind) for name, kind in INDEX_SCHEMA.items())


def _rank(seed: int, key: str) -> str:
    return hashlib.sha256(f"{seed}\0{key}".encode()).hexdigest()[:16]


def _holds(path: Path, rows: pl.DataFrame) -> bool:
    try:
        return read_parquet(path).equals(rows)
    except (OSError, pl.exceptions.PolarsError):
        return False


def _content_hash(rows: pl.DataFrame) -> str:
    hasher = hashlib.sha256()
    for key, label, content in rows.select("key", "label", "sha256").iter_rows():
        hasher.update(f"{key}\0{label}\0{content}\n".encode())
    return hasher.hexdigest()[:16]
