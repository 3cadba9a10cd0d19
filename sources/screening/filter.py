"""Score and filter: which of the matched images look like what their caption says.

An image's score is a cosine of its stored embedding with texts, so that it costs a matrix product.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from bench.core.arrays import FloatArray
from bench.core.json_values import Json
from bench.core.stage_names import SCORE
from bench.core.task import NO_LABEL
from bench.plugins.source import Context, Embedder
from bench.storage.stage import Stage
from sources.screening.embed import embedded_rows, embeddings
from sources.screening.rules import Filter, check_others


def scored(
    embedded: Sequence[Stage], rule: Filter, context: Context, labels: pl.DataFrame
) -> pl.DataFrame:
    """Return embedded rows with their ``label`` and the ``clip_score`` that the rule looks at.

    Args:
        embedded: Finished embeddings by the CLIP that scores.
        rule: How images are scored.
        context: What the source was given.
        labels: Columns key and label.

    Raises:
        RequestError: If the rule scores images by their class, and some have none.
    """
    if (labels["label"] == NO_LABEL).any():
        check_others(rule)
    if not rule.by_class:
        rows = domain_scored(embedded, rule.model, context)
    else:
        task, load = context.task, context.embedder
        prompts = [task.prompts(name) for name in task.class_names]

        def of_own_class(rows: pl.DataFrame, images: FloatArray) -> FloatArray:
            directions = class_directions(load(rule.model), prompts)
            labelled = rows.select("key").join(labels, on="key", how="left", maintain_order="left")
            own_class = directions[labelled["label"].to_numpy()]
            return np.asarray(np.einsum("ij,ij->i", images, own_class), np.float32)

        rows = _scored(embedded, {"classes": prompts}, of_own_class, context)
    return rows.join(labels, on="key", how="left", maintain_order="left")


def domain_scored(embedded: Sequence[Stage], filter_model: str, context: Context) -> pl.DataFrame:
    """Return embedded rows with ``clip_score``, the largest cosine with a domain text.

    Args:
        embedded: Finished embeddings by the CLIP that scores.
        filter_model: Weights of that CLIP.
        context: What the source was given.
    """
    texts = list(context.task.domain_texts)

    def of_domain(_: pl.DataFrame, images: FloatArray) -> FloatArray:
        cosines = images @ context.embedder(filter_model).texts(texts).T
        return np.asarray(cosines.max(axis=1, initial=-1), np.float32)

    return _scored(embedded, {"domain": texts}, of_domain, context)


def class_directions(embedder: Embedder, prompts: Sequence[Sequence[str]]) -> FloatArray:
    """Return the mean of each class's normalised prompt embeddings, normalised, ``[classes, dim]``.

    Averaged before normalising, as in (Geng 2024, code, clip_filter_and_dedup.py:250-267).
    """
    means = np.stack([embedder.texts(texts).mean(axis=0) for texts in prompts])
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
        stage = context.stage(SCORE, config, [source.output])

        def make(index: int, folder: Path, source: Stage = source) -> None:
            rows, images = embeddings(source.shard(index))
            np.save(folder / "scores.npy", score(rows, images.astype(np.float32)))

        # All shards: they cost seconds, and the embeddings that they read are complete.
        stage.run(len(source.shards()), make, sharded=False)
        scores += [np.load(shard / "scores.npy") for shard in stage.shards()]
    return embedded_rows(embedded).with_columns(
        pl.Series("clip_score", np.concatenate(scores), pl.Float32)
    )
