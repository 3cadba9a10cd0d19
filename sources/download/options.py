"""What a user may say about how images are fetched."""

from bench.core.config import Config, Natural, Positive
from sources.download.addresses import parse_endpoint


class DownloadOptions(Config, frozen=True, kw_only=True):
    """How images are fetched."""

    shard_size: Positive = 10_000
    """Images that a kill may cost."""
    processes: Positive = 1
    """Parts of one shard that are fetched at the same time, with `threads` each."""
    threads: Positive = 32
    """Connections of each part at the same time."""
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
