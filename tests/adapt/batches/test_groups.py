"""Groups of images, and which images a training leaves out."""

import polars as pl
import pytest

from adapt.batches.groups import group_ids, grouped
from adapt.batches.order import images_per_pass
from bench.core.errors import RequestError
from bench.plugins.objective import Grouping, Needs
from tests.support.tiny_generation import World


def rows_of(*images: tuple[int, str | None]) -> pl.DataFrame:
    """Return rows with labels and captions; every image's caption has an id of its own."""
    rows = pl.DataFrame(images, {"label": pl.Int64, "caption": pl.String}, orient="row")
    return rows.with_columns(key=pl.int_range(pl.len()).cast(pl.String)).with_columns(
        caption_id=pl.col("key")
    )


ROWS = rows_of(
    (1, "a jet"), (0, "a jet"), (1, "A jet"), (0, "a biplane"), (1, "a jet"), (0, "a jet"),
    (1, "a jet"), (2, "a glider"),
)  # fmt: skip


def test_images_of_equal_texts_and_one_class_are_a_group() -> None:
    assert group_ids(ROWS, "caption") == [0, 1, 2, 3, 0, 1, 0, 7]
    assert group_ids(ROWS, "class") == [1, 0, 1, 0, 1, 0, 1, 2]
    assert group_ids(ROWS, "image") == list(range(8))


@pytest.mark.parametrize(
    ("grouping", "per_group", "keys", "per_pass", "left_out"),
    [
        ("image", 1, "01234567", 8, (0, 0)),
        ("caption", 1, "01234567", 8, (0, 0)),
        ("caption", 2, "01456", 4, (3, 3)),
        ("caption", 3, "046", 3, (5, 4)),
        ("class", 3, "0123456", 6, (1, 1)),
    ],
)
def test_images_of_small_groups_are_left_out_and_counted(
    grouping: Grouping, per_group: int, keys: str, per_pass: int, left_out: tuple[int, int]
) -> None:
    found = grouped(ROWS, Needs(group=grouping, per_group=per_group))
    assert found.rows["key"].to_list() == list(keys)
    assert found.rows.columns == ROWS.columns
    ids = group_ids(ROWS, grouping)
    assert found.groups == [ids[int(key)] for key in keys]
    assert images_per_pass(found.groups, per_group) == per_pass
    assert (found.images_left_out, found.groups_left_out) == left_out


def test_generated_images_of_a_caption_are_a_group(world: World) -> None:
    # A subset holds whole captions, the last one apart.
    rows = world.collect(images_per_caption=3, n=15).select(14, 0, "random")
    found = grouped(rows, Needs(group="caption", per_group=3))
    assert (found.rows.height, found.images_left_out, found.groups_left_out) == (12, 2, 1)
    captions = found.rows.with_columns(group=pl.Series(found.groups)).group_by("group")
    for each in captions.agg(pl.len(), pl.col("label", "caption").n_unique()).iter_rows(named=True):
        assert (each["len"], each["label"], each["caption"]) == (3, 1, 1)


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        (Needs(group="caption", per_group=4),
         "no 4 of the 8 images have one caption and one class; generate them with "
         "--set source.images_per_caption=4, or use --objective supcon"),
        (Needs(group="caption", per_group=6),
         "no 6 of the 8 images have one caption and one class; generate them with "
         "--set source.images_per_caption=6, or use --objective supcon"),
        (Needs(group="class", per_group=5),
         "no 5 of the 8 images are of one class; ask for more images"),
        (Needs(group="image", per_group=2),
         "no 2 of the 8 images are the same; per_group=1 is all that an image can give"),
    ],
)  # fmt: skip
def test_images_without_a_large_group_are_refused(needs: Needs, message: str) -> None:
    with pytest.raises(RequestError) as refused:
        grouped(ROWS, needs)
    assert str(refused.value) == message


@pytest.mark.parametrize("needs", [Needs(group="caption"), Needs(group="class", texts=True)])
def test_missing_captions_are_refused_where_they_are_needed(needs: Needs) -> None:
    rows = rows_of((0, "a jet"), (0, None), (1, ""))
    with pytest.raises(RequestError) as refused:
        grouped(rows, needs)
    assert str(refused.value) == (
        "2 of the 3 images have no caption, and this objective needs captions; "
        "use retrieved or generated images, or --objective supcon"
    )
    assert grouped(rows, Needs(group="class")).rows.height == 3


@pytest.mark.parametrize("needs", [Needs(), Needs(group="caption", per_group=4, texts=True)])
def test_no_images_at_all_are_no_mistake(needs: Needs) -> None:
    """The unadapted model is evaluated without any."""
    found = grouped(rows_of(), needs)
    assert (found.rows.height, found.groups, found.images_left_out) == (0, [], 0)
