"""What a user may say about finding images by their nearness in the space of a CLIP."""

from typing import Literal

import msgspec

from bench.core.config import Positive
from sources.screening.filter import FilterOptions

DEFAULT_K = 500
"""Images per class and prompt: the example in the authors' README (PROTOCOL, section 1)."""


class KnnOptions(FilterOptions, frozen=True, kw_only=True):
    """Whether an index is asked for the nearest images, which one, and for how many.

    Options that mean nothing to the chosen way are None, so that a run's spec holds what counted.
    """

    retrieval: Literal["captions", "knn", "both"] = "captions"
    """What finds candidates: captions that name a class; the images of a clip-retrieval index that
    are nearest to a class's prompts; or both."""
    knn_url: str | None = None
    """Address of a running ``clip-retrieval back``, such as http://127.0.0.1:1234."""
    knn_name: str | None = None
    """Which of that server's indices; None for its only one."""
    knn_index: str | None = None
    """Folder that ``clip-retrieval index`` wrote."""
    knn_k: Positive | None = None
    """Images asked for per class and prompt; None for 500."""
    knn_model: str | None = None
    """Weights of the CLIP that the index was built with; None for `filter_model`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = ("knn_url", "knn_name", "knn_index", "knn_k", "knn_model")
        given = [name for name in names if getattr(self, name) is not None]
        if self.retrieval == "captions":
            if given:
                raise ValueError(
                    f"{given[0]} means nothing to retrieval=captions; "
                    "leave it out, or add --set source.retrieval=knn"
                )
            return
        if ("knn_url" in given) == ("knn_index" in given):
            raise ValueError(
                f"retrieval={self.retrieval} needs knn_url, a server, or knn_index, a folder: one"
            )
        if "knn_name" in given and "knn_url" not in given:
            raise ValueError("knn_name is an index of a server, and no knn_url is given")
        if self.knn_k is None:
            msgspec.structs.force_setattr(self, "knn_k", DEFAULT_K)
        if self.knn_model is None:
            msgspec.structs.force_setattr(self, "knn_model", self.filter_model)
