"""What a user may say about finding images by their nearness in the space of a CLIP."""

from bench.core.config import Config, PathText, Positive, WeightsText


class KnnOptions(Config, frozen=True, kw_only=True):
    """Which index is asked for the nearest images, and for how many."""

    url: str | None = None
    """Address of a running ``clip-retrieval back``, such as http://127.0.0.1:1234."""
    name: str | None = None
    """Which of that server's indices; None for its only one."""
    index: PathText | None = None
    """Folder that ``clip-retrieval index`` wrote."""
    k: Positive = 500
    """Images asked for per class and prompt: the example in the README of (Geng 2024, code)."""
    model: WeightsText
    """Weights of the CLIP that the index was built with; `filter.model` where none are given."""

    def __post_init__(self) -> None:
        if (self.url is None) == (self.index is None):
            raise ValueError("either url, a server, or index, a folder, is needed")
        if self.name is not None and self.url is None:
            raise ValueError("name is an index of a server, and no url is given")
