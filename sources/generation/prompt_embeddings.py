"""Embed prompts: each caption once, however many images it gets."""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_GUIDED = ("prompt_embeds", "negative_prompt_embeds")
_POOLED = (*_GUIDED, "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
_EMBEDDINGS = {
    "StableDiffusion": _GUIDED,
    "LatentConsistencyModel": ("prompt_embeds",),
    "StableDiffusionXL": _POOLED,
    "StableDiffusion3": _POOLED,
    "Flux": ("prompt_embeds", "pooled_prompt_embeds"),
}
"""What ``encode_prompt`` returns first and the call takes, by family; others are given texts."""


class Prompts:
    """Turns captions into arguments of a pipeline's call.

    Args:
        pipeline: A diffusers pipeline.
        guidance: Its guidance scale; above 1 the empty prompt is embedded, too.
    """

    def __init__(self, pipeline: Any, guidance: float) -> None:  # noqa: ANN401
        family = type(pipeline).__name__.removesuffix("Pipeline").removesuffix("Img2Img")
        self._names = _EMBEDDINGS.get(family)
        self._pipeline = pipeline
        self._guided = guidance > 1
        self._known: dict[str, list[Any]] = {}
        named = (getattr(pipeline, f"tokenizer{place}", None) for place in ("", "_2", "_3"))
        self._tokenizers = [tokenizer for tokenizer in named if tokenizer is not None]

    def arguments(self, captions: Sequence[str]) -> dict[str, Any]:
        """Return the arguments for one image of each caption.

        A caption that the call before had is not embedded again; no others are remembered.
        """
        import torch

        if self._names is None:
            return {"prompt": list(captions)}
        new = [caption for caption in dict.fromkeys(captions) if caption not in self._known]
        known = self._known | (self._embed(new) if new else {})
        self._known = {caption: known[caption] for caption in captions}
        columns = zip(*(self._known[caption] for caption in captions), strict=True)
        return {
            name: torch.stack(column)
            for name, column in zip(self._names, columns, strict=True)
            if column[0] is not None
        }

    def truncated(self, caption: str) -> bool:
        """Return whether no text encoder reads the caption to its end (CLIP: 77 tokens)."""
        return bool(self._tokenizers) and all(
            len(tokenizer(caption).input_ids) > tokenizer.model_max_length
            for tokenizer in self._tokenizers
        )

    def _embed(self, captions: list[str]) -> "dict[str, list[Tensor | None]]":
        """Return each caption's embeddings, in the order of the names; None for none."""
        settings = {
            "prompt": captions,
            "prompt_2": None,
            "prompt_3": None,
            "device": self._pipeline.device,
            "num_images_per_prompt": 1,
            "do_classifier_free_guidance": self._guided,
        }
        taken = inspect.signature(self._pipeline.encode_prompt).parameters
        embeddings = self._pipeline.encode_prompt(
            **{name: value for name, value in settings.items() if name in taken}
        )[: len(self._names or ())]
        return {
            caption: [None if rows is None else rows[place] for rows in embeddings]
            for place, caption in enumerate(captions)
        }
