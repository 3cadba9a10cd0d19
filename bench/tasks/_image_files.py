"""The images of a task whose images are files."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from bench.core.errors import RequestError
from bench.storage.image_codec import decode


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
