"""The decoder and de-duplication on pictures that nobody here made."""

import hashlib
import io
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from bench.core.paths import Home
from bench.plugins import source_of
from bench.storage.image_codec import IMAGE_SUFFIXES, decode, encode
from bench.storage.image_set import ImageSet
from bench.tasks import find_task
from sources.screening.dedup import EQUAL, LEAKED, NEAR, TRAIN
from tests.real.pictures import Picture, same
from tests.real.tasks import write, write_emoji_task
from tests.support.contexts import context
from tests.support.source_options import options_of


def test_every_picture_looks_as_pillow_alone_shows_it_on_white(
    emoji: list[Picture], foods: list[Picture], photos: list[Picture]
) -> None:
    for picture in [*emoji[::10], *foods[::3], *photos[::3]]:
        assert Path(picture.file).suffix in IMAGE_SUFFIXES
        visible = Image.open(io.BytesIO(picture.content)).convert("RGBA")
        white = Image.new("RGBA", visible.size, "white")
        shown = Image.alpha_composite(white, visible).convert("RGB")
        assert same(decode(picture.content), shown), (picture.origin, picture.file)


GROUPS = ("Activities", "Food & Drink")


def sample(emoji: list[Picture]) -> list[Picture]:
    """Return every third emoji of two groups."""
    return [one for one in emoji if one.group in GROUPS][::3]


@pytest.fixture(scope="module")
def collected(
    tmp_path_factory: pytest.TempPathFactory, emoji: list[Picture], foods: list[Picture]
) -> ImageSet:
    """Foods, a task's images of three vendors, and those of val and test as other files."""
    root = tmp_path_factory.mktemp("copies")
    few = sample(emoji)
    write_emoji_task(root / "task", few)
    for picture in few:
        if picture.origin != "fluent":
            write(root / "own", picture)
        else:
            for change, content in changed(decode(picture.content)).items():
                write(root / "own", picture._replace(origin=change, content=content))
    for picture in foods:
        write(root / "own", picture, "Food & Drink")
    options = options_of(
        "folder", path=str(root / "own"), filter__model="clip", images__size=64, suffix=".png"
    )
    task = find_task(str(root / "task"))
    return source_of("folder", options).collect(context(Home(root / "home"), task))


def changed(image: Image.Image) -> dict[str, bytes]:
    """Return an image as other files show it."""
    wide = image.resize((image.width * 3, image.height * 3))
    half = image.resize((image.width // 2, image.height // 2))
    return {
        "jpeg": encode(image, ".jpg", 75),
        "wide": encode(wide, ".jpg"),
        "half": encode(half, ".png"),
    }


def test_a_test_image_in_another_file_or_size_is_a_copy_and_another_vendor_s_is_none(
    collected: ImageSet, emoji: list[Picture]
) -> None:
    few = Counter(one.origin for one in sample(emoji))
    duplicates = collected.manifest.stage_counts["duplicates"]
    assert duplicates[LEAKED] == 3 * few["fluent"]
    assert duplicates[TRAIN] == few["noto"]
    assert duplicates[NEAR] == 0


def test_a_photograph_under_two_names_is_kept_once(
    collected: ImageSet, foods: list[Picture]
) -> None:
    copies = len(foods) - len({hashlib.sha256(food.content).digest() for food in foods})
    assert copies == 79  # The publisher shows cuts of meat by one photograph.
    assert collected.manifest.stage_counts["duplicates"][EQUAL] == copies
