"""The images of a task whose images are files."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from bench.core.errors import RequestError
from bench.core.task import Split
from bench.storage.image_codec import decode
from bench.tasks.readers.damage import damage
from bench.tasks.readers.origin import FaultError


def read_image_file(files: Sequence[Path], index: int) -> Image.Image:
    """Return the image in one of some files, decoded as every source's.

    Raises:
        RequestError: If the file cannot be read or is no image; it names the file.
    """
    try:
        return decode(files[index].read_bytes())
    except OSError as error:
        raise RequestError(f"{files[index]}: {error.strerror}", "replace the file") from error
    except ValueError as error:
        raise RequestError(f"{files[index]}: {error}", "replace the file") from error


def require_images(split: Split, root: Path) -> None:
    """Make sure that every image of a split is a file below a folder, by its key.

    Raises:
        FaultError: If one is not, or the first is no image.
    """
    parents = {(root / key).parent for key in split.keys}
    present = {file for parent in parents if parent.is_dir() for file in parent.iterdir()}
    missing = [key for key in split.keys if root / key not in present]
    if missing:
        raise FaultError(
            f"{len(missing)} images of split {split.name} are not in {root}, {missing[0]} the first"
        )
    # A set that was saved wrongly is wrong as a whole; training decodes every image.
    if split.keys and (what := damage(root / split.keys[0])):
        raise FaultError(f"{root / split.keys[0]} {what}")
