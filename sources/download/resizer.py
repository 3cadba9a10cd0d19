"""What img2dataset hands an image to: our decoder, fit and encoder, as every source's."""

import io
from dataclasses import dataclass

from bench.storage.image_codec import ImageFormat, OversizedImageError, decode

Resized = tuple[bytes | None, int | None, int | None, int | None, int | None, str | None]
"""The image's bytes, its width and height, those that it had, and the problem with it."""


@dataclass(frozen=True)
class Resizer:
    """Does as img2dataset's ``Resizer``, whose OpenCV would make retrieved images unlike others.

    Small images are encoded too: no source keeps the bytes of others.

    Attributes:
        images: How images are kept.
    """

    images: ImageFormat

    def __call__(self, stream: io.BytesIO, boxes: object = None) -> Resized:
        """Return an image as it is kept; `boxes`, to be blurred, there are none."""
        try:
            image = decode(stream.getvalue())
        except OversizedImageError:
            return None, None, None, None, None, "too large"
        except ValueError:
            return None, None, None, None, None, "not an image"
        kept = self.images.fitted(image)
        return self.images.encoded(kept), *kept.size, *image.size, None
