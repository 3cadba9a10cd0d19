"""Sources that are made of sources: their images must be kept alike, or the mixture tells why."""

from collections.abc import Mapping

from bench.core.errors import RequestError
from bench.plugins.optional import KeepsImages
from bench.plugins.source import Source
from bench.storage.image_codec import ImageFormat


def check_kept_alike(parts: Mapping[str, Source]) -> ImageFormat | None:
    """Return how all of some sources keep images; None if none of them says.

    Args:
        parts: Name to source.

    Raises:
        RequestError: If they keep them differently.
    """
    told = [
        (name, part.images)
        for name, part in parts.items()
        if isinstance(part, KeepsImages) and isinstance(part.images, ImageFormat)
    ]
    for name, images in told[1:]:
        (first, expected), *_ = told
        if images != expected:
            what = next(
                field
                for field in images.__struct_fields__
                if getattr(images, field) != getattr(expected, field)
            )
            raise RequestError(
                f"{first} keeps images with images.{what}={getattr(expected, what)}, "
                f"{name} with {getattr(images, what)}",
                f"set the same images.{what} for both: what else they are is to be compared",
            )
    return told[0][1] if told else None
