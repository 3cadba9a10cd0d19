"""Score and filter: which of the matched images look like what their caption says.

An image's score is a cosine of its stored embedding with texts, so that it costs a matrix product.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import polars as pl

from bench.core.arrays import FloatArray
from bench.core.config import Positive
from bench.core.json_values import Json
from bench.plugins.source import Context, Embedder
from bench.storage.stage import Stage
from sources.download.options import DownloadOptions
from sources.screening.embed import embedded_rows, embeddings

_DEFAULTS: dict[str, dict[str, float]] = {
    "threshold": {"tau": 0.2},
    "class-threshold": {"tau": 0.2},
    "top-fraction": {"top_fraction": 0.3, "cap": 10_000},
}
"""What each rule needs, and its value where none is given: tau from 002, section 3; fraction and
cap from the authors' code (PROTOCOL: clip_filter_and_dedup.py:33)."""


class FilterOptions(DownloadOptions, frozen=True, kw_only=True):
    """How images are fetched, and which of them are kept.

    Options of the rules that were not chosen are None, so that a run's spec holds what counted.
    """

    filter_model: str
    """Weights of the CLIP that scores images; may differ from the adapted one."""
    filter: Literal["threshold", "class-threshold", "top-fraction"] = "threshold"
    """The largest cosine with a domain text above tau (002, section 3); the cosine with the own
    class's prompts above tau; or the top of each class by that cosine (the authors' code)."""
    tau: Annotated[float, msgspec.Meta(ge=-1, le=1)] | None = None
    """Cosine above which an image is kept; None for 0.2 with the threshold rules."""
    top_fraction: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """Share of each class that is kept; None for 0.3 with top-fraction."""
    cap: Positive | None = None
    """Images of a class that are kept at most; None for 10,000 with top-fraction."""

    def __post_init__(self) -> None:
        super().__post_init__()
        own = _DEFAULTS[self.filter]
        for name in ("tau", "top_fraction", "cap"):
            given = getattr(self, name)
            if given is not None and name not in own:
                raise ValueError(
                    f"{name}={given:g} means nothing to filter={self.filter}; "
                    f"leave it out, or add --set source.{name}=null if the preset gives it"
                )
            if given is None:
                msgspec.structs.force_setattr(self, name, own.get(name))

    @property
    def rule(self) -> Json:
        """The rule and the options that belong to it."""
        return {"filter": self.filter} | {
            name: getattr(self, name) for name in _DEFAULTS[self.filter]
        }

    @property
    def complaint(self) -> str:
        """Why an image was dropped."""
        return "outside the top fraction" if self.tau is None else "below tau"


def scored(
    embedded: Sequence[Stage], options: FilterOptions, context: Context, labels: pl.DataFrame
) -> pl.DataFrame:
    """Return embedded rows with their ``label`` and the ``clip_score`` that the rule looks at.

    Args:
        embedded: Finished descriptions by the CLIP that scores.
        options: The rule.
        context: What the source was given.
        labels: Columns key and label.
    """
    if options.filter == "threshold":
        rows = domain_scored(embedded, options.filter_model, context)
    else:
        task, load = context.task, context.embedder
        prompts = [task.prompts(name) for name in task.class_names]

        def of_own_class(rows: pl.DataFrame, images: FloatArray) -> FloatArray:
            directions = class_directions(load(options.filter_model), prompts)
            own = rows.select("key").join(labels, on="key", how="left", maintain_order="left")
            own_class = directions[own["label"].to_numpy()]
            return np.asarray(np.einsum("ij,ij->i", images, own_class), np.float32)

        rows = _scored(embedded, {"classes": prompts}, of_own_class, context)
    return rows.join(labels, on="key", how="left", maintain_order="left")


def domain_scored(embedded: Sequence[Stage], filter_model: str, context: Context) -> pl.DataFrame:
    """Return embedded rows with ``clip_score``, the largest cosine with a domain text.

    Args:
        embedded: Finished descriptions by the CLIP that scores.
        filter_model: Weights of that CLIP.
        context: What the source was given.
    """
    texts = list(context.task.domain_texts)

    def of_domain(_: pl.DataFrame, images: FloatArray) -> FloatArray:
        cosines = images @ context.embedder(filter_model).texts(texts).T
        return np.asarray(cosines.max(axis=1, initial=-1), np.float32)

    return _scored(embedded, {"domain": texts}, of_domain, context)


def passes(rows: pl.DataFrame, options: FilterOptions) -> pl.Series:
    """Return which scored rows (key, label, clip_score) the rule keeps."""
    if options.tau is not None:
        return rows["clip_score"] > options.tau
    # A class keeps its fraction, rounded up, and never more than the cap.
    most = (options.top_fraction * pl.len()).ceil().clip(upper_bound=options.cap)
    place = pl.struct(-pl.col("clip_score"), "key").rank("ordinal")
    return rows.select((place <= most).over("label").alias("passes"))["passes"]


def class_directions(embedder: Embedder, prompts: Sequence[Sequence[str]]) -> FloatArray:
    """Return the mean of each class's normalised prompt embeddings, normalised, ``[classes, dim]``.

    Averaged before normalising, as the authors' filter does (PROTOCOL, section 2).
    """
    means = np.stack([embedder.texts(own).mean(axis=0) for own in prompts])
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)


def _scored(
    embedded: Sequence[Stage],
    config: Json,
    score: Callable[[pl.DataFrame, FloatArray], FloatArray],
    context: Context,
) -> pl.DataFrame:
    """Return embedded rows with a score of their embeddings, float32 ``[n, dim]``, done once."""
    scores = [np.empty(0, np.float32)]
    for source in embedded:
        stage = context.stage("score", config, [source.output])

        def make(index: int, folder: Path, source: Stage = source) -> None:
            rows, images = embeddings(source.shard(index))
            np.save(folder / "scores.npy", score(rows, images.astype(np.float32)))

        # All shards: they cost seconds, and the description they read is complete.
        stage.run(len(source.shards()), make, sharded=False)
        scores += [np.load(shard / "scores.npy") for shard in stage.shards()]
    return embedded_rows(embedded).with_columns(
        pl.Series("clip_score", np.concatenate(scores), pl.Float32)
    )
