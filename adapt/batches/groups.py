"""Groups of images: which a training can use, and which are too small for a batch."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from adapt.batches.order import IntArray
from bench.core.errors import RequestError
from bench.core.task import NO_LABEL
from bench.plugins.objective import OTHERS_REMEDY, Grouping, Needs

_IDS: dict[Grouping, pl.Expr] = {
    "image": pl.col("row"),
    "class": pl.col("label"),
    "caption": pl.col("row").first().over("label", "caption"),
}


@dataclass(frozen=True)
class Grouped:
    """The images that a training uses, in groups.

    Attributes:
        rows: Their rows, in the order they were given in.
        groups: Which group each belongs to.
        images_left_out: Images whose group has fewer than a batch takes of it.
        groups_left_out: How many such groups there are.
    """

    rows: pl.DataFrame
    groups: list[int]
    images_left_out: int
    groups_left_out: int


def grouped(rows: pl.DataFrame, needs: Needs) -> Grouped:
    """Return images in groups, without those whose group is too small for a batch.

    Args:
        rows: Rows of an image set's index, as `ImageSet.select` returns them.
        needs: What the objective needs of a batch.

    Raises:
        RequestError: If captions or classes are needed and missing, or if every group is too small.
    """
    if needs.labels:
        _check_classes(rows)
    if needs.texts or needs.group == "caption":
        _check_captions(rows)
    groups = pl.Series("group", group_ids(rows, needs.group), pl.Int64)
    sizes = groups.value_counts()
    large = sizes.filter(pl.col("count") >= needs.per_group)
    if rows.height and not large.height:
        raise _none_left(rows.height, needs)
    kept = groups.is_in(large["group"].implode())
    groups = groups.filter(kept)
    return Grouped(
        rows=rows.filter(kept),
        groups=groups.to_list(),
        images_left_out=rows.height - groups.len(),
        groups_left_out=sizes.height - large.height,
    )


def group_ids(rows: pl.DataFrame, grouping: Grouping) -> list[int]:
    """Return the group of each row of an image set's index.

    An image is its own. Images of a class are of its label. Those of a caption have one class and
    the same text, however many captions it was written as; their group is the row of the first.
    """
    return rows.with_row_index("row").select(group=_IDS[grouping])["group"].to_list()


def pair_ids(rows: pl.DataFrame) -> IntArray:
    """Return the pair of each row of an image set's index, numbered from 0, int64 ``[rows]``.

    Raises:
        RequestError: If one has none.
    """
    without = rows["pair"].null_count()
    if without:
        raise RequestError(
            f"{without:,} of the {rows.height:,} images are of no pair, and train.adjacent=pair "
            "puts those of one into a batch",
            "generate them with --set source.captions.writer=minimal-pairs, or leave it out",
        )
    return rows["pair"].rank("dense").to_numpy().astype(np.int64) - 1


def _check_classes(rows: pl.DataFrame) -> None:
    without = rows.filter(pl.col("label") == NO_LABEL).height
    if without:
        raise RequestError(
            f"{without:,} of the {rows.height:,} images are of no class of the task, and this "
            "objective needs a class for each",
            OTHERS_REMEDY,
        )


def _check_captions(rows: pl.DataFrame) -> None:
    without = rows.filter(pl.col("caption").fill_null("") == "").height
    if without:
        raise RequestError(
            f"{without:,} of the {rows.height:,} images have no caption, and this objective needs "
            "captions",
            "use retrieved or generated images, or --objective supcon",
        )


def _none_left(images: int, needs: Needs) -> RequestError:
    few = f"no {needs.per_group} of the {images:,} images"
    match needs.group:
        case "caption":
            per_caption = f"source.images_per_caption={max(4, needs.per_group)}"
            fix = f"generate them with --set {per_caption}, or use --objective supcon"
            return RequestError(f"{few} have one caption and one class", fix)
        case "class":
            return RequestError(f"{few} are of one class", "ask for more images")
        case "image":
            return RequestError(f"{few} are the same", "per_group=1 is all that an image can give")
