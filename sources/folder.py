"""Images of your own: a tree of class folders, or a folder of webdataset tars.

In a tree, ``CLASS/IMAGE``; in tars, each image has a ``.cls`` or a ``.json`` member with its label
(`bench.storage.labelled_tars`). Class names are matched with the task's by name.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import polars as pl

from bench.core.config import Config, PathText
from bench.core.errors import RequestError, unknown_name
from bench.core.files import fingerprint, fingerprint_of, read_file
from bench.core.json_values import Json
from bench.core.missing import MissingError, together
from bench.core.paths import Home
from bench.core.task import Task
from bench.core.walk import Tree, walk
from bench.plugins import sources
from bench.plugins.source import Context
from bench.storage.class_folders import class_folders
from bench.storage.image_codec import IMAGE_SUFFIXES, ImageFormat, decode
from bench.storage.image_set import ImageSet
from bench.storage.labelled_tars import PACKED_TARS, labelled_images
from bench.storage.packing import EncodedImage, pack_images
from bench.storage.tar_shards import read_bytes
from sources.screening.audit import write_copies
from sources.screening.dedup import COPY_DISTANCE, drop_duplicates
from sources.screening.embed import embed
from sources.screening.filter import domain_scored
from sources.screening.phash import HASH_BITS, pixel_hash
from sources.screening.rules import NoFilter

_TAR = ".tar"


@sources.register("folder")
class Folder:
    """Labelled images from disk."""

    captioned = False

    class Options(Config, frozen=True, kw_only=True):
        """Where they are and how they are kept."""

        path: PathText
        """A folder of class folders, or of webdataset tars."""
        filter: NoFilter
        """The CLIP that scores the images; none is left out for its score."""
        images: ImageFormat = ImageFormat()
        max_distance: Annotated[int, msgspec.Meta(ge=0, le=HASH_BITS)] = COPY_DISTANCE
        """Bits of perceptual hash within which an image counts as a copy of a benchmark image;
        equal pixels always do."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.images = options.images

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return the fingerprints of the folder and of the scoring weights."""
        return together(
            {
                "folder": lambda: fingerprint_of(_read_files(self._folder()).files),
                "filter_model": lambda: fingerprint(home.find_clip(self.options.filter.model)),
            }
        )

    def notes(self, home: Home) -> list[str]:
        """Return the line that says which files are not read, if any."""
        return [*filter(None, [_read_files(self._folder()).note])]

    def _folder(self) -> Path:
        path = Path(self.options.path)
        if not path.is_dir():
            raise MissingError(
                f"the folder {self.options.path!r} does not exist",
                "give --set source.path=FOLDER with a folder per class",
            )
        return path

    def collect(self, context: Context) -> ImageSet:
        """Return every readable image that is not a validation or test image."""
        options, kept_as = self.options, self.images
        tree = _read_files(self._folder())
        items = _labelled_tars(tree, context.task) or _labelled_files(tree, context.task)
        config: Json = {"folder": fingerprint_of(tree.files), "classes": context.task.class_names}
        config |= {"images": kept_as.recipe, "pixels": True}
        stage = context.stage("folder", config)

        def images(wanted: range) -> Iterator[EncodedImage]:
            for index in wanted:
                item = items[index]
                content = item.read()
                try:
                    whole = decode(content)
                except ValueError:
                    continue
                image = kept_as.fitted(whole)
                content, suffix = kept_as.encoded(image), kept_as.suffix
                key, pixels = f"{index:08d}", pixel_hash(whole)
                yield EncodedImage(key, content, suffix, item.label, image.size, pixels)

        pack_images(stage, len(items), images)
        embedded = embed(stage, options.filter.model, context)
        readable = domain_scored([embedded], options.filter.model, context)
        unique = drop_duplicates(
            readable, context, options.max_distance, drop_train=options.filter.drop_train_copies
        )
        names = list(context.task.class_names)
        rows = unique.rows.with_columns(
            pl.col("label").replace_strict(range(len(names)), names).alias("class_name"),
            origin=pl.lit("folder"),
            caption=pl.lit(None, pl.String),
            url=pl.lit(None, pl.String),
            seed=pl.lit(None, pl.Int64),
        )
        counts: Json = {"matched": len(items), "fetched": readable.height}
        counts |= {"unreadable": len(items) - readable.height, "duplicates": unique.counts}
        counts |= {"kept": rows.height}
        image_set = ImageSet.write(
            context.home.data, rows, context.task, "folder", {"path": options.path}, counts
        )
        write_copies(image_set, readable, unique.copies, context)
        return image_set


class _Item(msgspec.Struct, frozen=True):
    """Where one labelled image is."""

    path: Path
    label: int
    offset: int = 0
    size: int | None = None

    def read(self) -> bytes:
        if self.size is None:
            return read_file(self.path)
        return read_bytes(self.path, self.offset, self.size)


def _read_files(root: Path) -> Tree:
    """Return exactly the files that are read: tars, or images in class folders."""
    tree = walk(root, (*IMAGE_SUFFIXES, _TAR))
    tars = {name for name, _ in tree.files if name.lower().endswith(_TAR)}
    if tars:
        return tree.only(tars, "beside the tars")
    return tree.only({name for name, _ in tree.files if "/" in name}, "outside class folders")


def _labelled_files(tree: Tree, task: Task) -> list[_Item]:
    train = tree.root / "train"
    if train.is_dir() and "train" not in task.class_names:
        raise RequestError(
            f"{tree.root} has split folders, not class folders", f"give --set source.path={train}"
        )
    items = [_Item(image.path, _label(image.class_name, task)) for image in class_folders(tree)]
    if not items:
        raise RequestError(
            f"{tree.root} holds neither class folders nor tars",
            "put images into CLASS/IMAGE below it",
        )
    return items


def _labelled_tars(tree: Tree, task: Task) -> list[_Item]:
    if packed := walk(tree.root, PACKED_TARS).files:
        raise RequestError(f"{packed[0][1]} is compressed", "unpack it, so that it is a plain .tar")
    tars = [path for name, path in tree.files if name.lower().endswith(_TAR)]
    items = [
        _Item(path, image.label, image.offset, image.size)
        for path in tars
        for image in labelled_images(path, task)
    ]
    if tars and not items:
        raise RequestError(
            f"the tars in {tree.root} hold no images", "put KEY.png and KEY.cls into them"
        )
    return items


def _label(name: str, task: Task) -> int:
    label = task.label(name)
    if label is None:
        raise unknown_name(f"class of task {task.name}", name, task.class_names)
    return label
