"""Images in class folders, ``CLASS/IMAGE``, as tasks and sources read them."""

from pathlib import Path
from typing import NamedTuple

from bench.core.errors import RequestError
from bench.core.walk import Tree, walk
from bench.storage.image_codec import IMAGE_SUFFIXES


class LabelledFile(NamedTuple):
    """An image in a class folder.

    Attributes:
        class_name: The folder's name.
        name: The file's name below the root of its tree.
        path: The file.
    """

    class_name: str
    name: str
    path: Path


def class_folders(tree: Tree, folder: str = "") -> list[LabelledFile]:
    """Return the images in the class folders directly below a folder of a tree, class by class.

    Args:
        tree: The images below its root.
        folder: The folder's name below the root; empty for the root.

    Raises:
        RequestError: If a class folder has no images.
    """
    prefix = f"{folder}/" if folder else ""
    images = []
    for name, path in tree.files:
        class_name, slash, _ = name.removeprefix(prefix).partition("/")
        if slash and name.startswith(prefix):
            images.append(LabelledFile(class_name, name, path))
    present = {image.class_name for image in images}
    for name, path in tree.folders:
        class_name = name.removeprefix(prefix)
        if name.startswith(prefix) and "/" not in class_name and class_name not in present:
            raise _without_images(path)
    return sorted(images, key=lambda image: image.name.split("/"))


def _without_images(folder: Path) -> RequestError:
    unread = walk(folder, IMAGE_SUFFIXES).left_out
    if not unread:
        return RequestError(
            f"the class folder {folder} has no images", "add some, or remove the folder"
        )
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in unread.items())
    return RequestError(
        f"the class folder {folder} has no images that can be read, but {reasons}",
        "convert them to PNG or JPEG, or remove the folder",
    )
