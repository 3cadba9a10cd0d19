"""What a user may say about how images are fetched."""

from typing import Annotated, Literal

import msgspec

from bench.core.config import Config, Natural, Positive
from bench.storage.tar_shards import Suffix
from sources.download.addresses import parse_endpoint


class DownloadOptions(Config, frozen=True, kw_only=True):
    """How images are fetched."""

    image_size: Positive = 256
    """Longest side kept, in pixels; larger images are reduced."""
    resize_mode: Literal["keep_ratio", "border"] = "keep_ratio"
    """``keep_ratio`` neither pads nor enlarges; ``border``, the authors' choice, makes every image
    a square of image_size: enlarged if it is smaller, the rest of the square white."""
    suffix: Suffix = ".jpg"
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 95
    shard_size: Positive = 10_000
    processes: Positive = 1
    """Parts of one shard that are fetched at the same time, with `threads` each."""
    threads: Positive = 32
    timeout_s: Positive = 10
    """Seconds a server may be silent."""
    deadline_s: Positive = 60
    """Seconds for one image, from the first connection to the last byte, redirects included."""
    retries: Natural = 1
    """Further passes over the images whose failure may pass: time-outs, resets, 429, 5xx."""
    preflight: Natural = 100
    """Images fetched first, to predict the yield and the hours of a list ten times as long."""
    opt_outs: tuple[str, ...] = ("noai", "noimageai", "noindex", "noimageindex")
    """``X-Robots-Tag`` directives that are honoured: img2dataset's own defaults."""
    allow_private: tuple[str, ...] = ()
    """Endpoints, as ADDRESS:PORT, that are contacted though they are not on the public Internet."""

    def __post_init__(self) -> None:
        for endpoint in self.allow_private:
            parse_endpoint(endpoint)
