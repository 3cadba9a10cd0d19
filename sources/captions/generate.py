"""Write captions in two stages: drafts, in shards; then other captions for copies.

An item's draft depends on its seed and key alone: it is written until it is fit, at most
``1 + retries`` times, and given up after that. Then, in at most ``retries`` rounds, every caption
that equals one of an earlier item, of its own or of an earlier block, is written anew. What is a
copy after that is kept and counted. So an item depends on those before it and on nothing else:
neither on the workers, nor on the batch or shard size, nor on how many items come after it.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from bench.core.errors import BenchError
from bench.core.files import read_parquet
from bench.core.json_values import Json, digest
from bench.core.stage_names import CAPTIONS, DRAFTS
from bench.plugins.captions import Caption, CaptionBrief, CaptionOrder, CaptionWriter
from bench.plugins.source import Context
from bench.storage.stage import Stage
from sources.captions.check import CaptionCheck, concept_name
from sources.captions.options import KINDS, CaptionOptions
from sources.captions.planned import planned
from sources.captions.table import COPY, SCHEMA, caption_texts


def captions(
    options: CaptionOptions,
    seed: int,
    writer: CaptionWriter,
    context: Context,
    earlier: Sequence[Stage] = (),
) -> Stage:
    """Return the finished captions of the next block.

    Its one shard holds ``captions.parquet`` and ``given-up.parquet``, both of `SCHEMA`.

    Args:
        options: How many, and how.
        seed: Of all captions and images.
        writer: What writes them.
        context: For which task.
        earlier: The finished captions of all earlier blocks, in order.

    Raises:
        RequestError: If the writer cannot begin.
        BenchError: If it cannot go on, or if most of a shard's captions are unfit.
    """
    generator = CaptionGenerator(options, seed, writer, context)
    drafts = _drafts(options, generator, context, len(earlier))
    inputs = [drafts.output, *(stage.output for stage in earlier)]
    stage = context.stage(CAPTIONS, {"version": 1}, inputs)

    def make(_: int, folder: Path) -> None:
        rows = pl.concat(read_parquet(part / "drafts.parquet") for part in drafts.shards())
        before = pl.concat(
            [pl.Series(dtype=pl.String), *(caption_texts(block) for block in earlier)]
        )
        fit = rows.filter(pl.col("fault").is_null())
        generator.without_copies(fit, before).write_parquet(folder / "captions.parquet")
        rows.filter(pl.col("fault").is_not_null()).write_parquet(folder / "given-up.parquet")

    stage.run(1, make, sharded=False)
    return stage


def _drafts(
    options: CaptionOptions, generator: "CaptionGenerator", context: Context, block: int
) -> Stage:
    config = {"version": 1, "block": block, "size": options.block_size}
    config |= {"shard_size": options.shard_size, **generator.config}
    stage = context.stage(DRAFTS, config)

    def make(shard: int, folder: Path) -> None:
        first = shard * options.shard_size
        last = min(first + options.shard_size, options.block_size)
        keys = [f"b{block:05d}-{item:06d}" for item in range(first, last)]
        generator.drafts(keys).write_parquet(folder / "drafts.parquet")

    shards = -(-options.block_size // options.shard_size)
    stage.run(shards, make, sharded=False)
    return stage


class CaptionGenerator:
    """A writer at work: its texts are checked, and written anew where they are unfit."""

    def __init__(
        self, options: CaptionOptions, seed: int, writer: CaptionWriter, context: Context
    ) -> None:
        self._options = options
        self._seed = seed
        self._writer = writer
        self._retries = 0 if writer.fixed else options.retries
        made_of = planned(options, writer, context.task)
        self._brief = CaptionBrief(context.task, context.home, *made_of, kinds=options.shares)
        self._check = CaptionCheck(context.task, made_of.concepts)

    @property
    def config(self) -> Json:
        """All that the captions depend on besides their keys."""
        task, brief = self._brief.task, self._brief
        config: Json = {
            "writer": self._options.writer,
            "writing": self._writer.config(brief.home),
            "phrases": digest(brief.phrases),
            "classes": [
                [task.prompt_name(name), name, task.query(name).any] for name in task.class_names
            ],
            "noun": task.noun,
            "seed": self._seed,
            "retries": self._retries,
        }
        # Captions from before there was a choice stay what they are.
        if brief.kinds != KINDS:
            config["kinds"] = list(brief.kinds.items())
        if self._options.concepts is not None:
            config["concepts"] = digest([brief.concepts, brief.weights])
        return config

    def drafts(self, keys: Sequence[str]) -> pl.DataFrame:
        """Return one row per key, written anew while it is unfit.

        Raises:
            BenchError: If most of them stay unfit.
        """
        rows = self._rows([self._order(key) for key in keys])
        for _ in range(self._retries):
            unfit = [place for place, row in enumerate(rows) if row["fault"]]
            retried = self._retry([rows[place] for place in unfit])
            for place, row in zip(unfit, retried, strict=True):
                rows[place] = {**row, "refused": [*rows[place]["refused"], rows[place]["fault"]]}
        faults = [row["fault"] for row in rows if row["fault"]]
        if len(faults) > len(rows) / 2:
            reasons = ", ".join(f"{count} {fault}" for fault, count in Counter(faults).items())
            raise BenchError(
                f"most captions of the writer {self._options.writer} are unfit: "
                f"of {len(rows)}, {reasons}",
                "each must be one short line that names its class, if it has one; "
                "a model must follow examples",
            )
        return pl.DataFrame(rows, schema=SCHEMA)

    def without_copies(self, rows: pl.DataFrame, before: pl.Series) -> pl.DataFrame:
        """Return rows, those that are copies of earlier ones written anew.

        Args:
            rows: Fit captions, in the order of their keys.
            before: The captions of earlier blocks.
        """
        for _ in range(self._retries):
            copied = _copied(rows["caption"], before)
            if not copied.any():
                break
            old = rows.filter(copied).to_dicts()
            new = [_better(*pair) for pair in zip(old, self._retry(old), strict=True)]
            changed = pl.DataFrame(new, schema=SCHEMA)
            rows = pl.concat([rows.filter(~copied), changed]).sort("key")
        fault = pl.when(_copied(rows["caption"], before)).then(pl.lit(COPY))
        return rows.with_columns(fault.alias("fault"))

    def _retry(self, rows: list[Json]) -> list[Json]:
        return self._rows([self._order(row["key"], row["attempt"] + 1) for row in rows])

    def _order(self, key: str, attempt: int = 0) -> CaptionOrder:
        block, item = key.removeprefix("b").split("-")
        seed = int(digest([self._seed, key], 15), 16)
        return CaptionOrder(key, int(block) * self._options.block_size + int(item), seed, attempt)

    def _rows(self, orders: list[CaptionOrder]) -> list[Json]:
        if not orders:
            return []
        written = self._writer.write(orders, self._brief)
        faults = self._check.faults(written)
        return [
            self._row(order, caption, fault)
            for order, caption, fault in zip(orders, written, faults, strict=True)
        ]

    def _row(self, order: CaptionOrder, caption: Caption, fault: str | None) -> Json:
        return {
            "key": order.key,
            "label": caption.label,
            "class_name": concept_name(caption, self._brief.task.class_names),
            "kind": caption.kind,
            "caption": caption.text,
            "relation": caption.relation,
            "background": caption.background,
            "examples": list(caption.examples),
            "pair": caption.pair,
            "writer": self._options.writer,
            "seed": order.seed,
            "attempt": order.attempt,
            "refused": [],
            "fault": fault,
        }


def _copied(captions: pl.Series, before: pl.Series) -> pl.Series:
    return captions.is_in(before.implode()) | ~captions.is_first_distinct()


def _better(copy: Json, retry: Json) -> Json:
    """Return the next attempt for a copy, or the copy for as long as the attempt is unfit."""
    if retry["fault"]:
        return {**copy, "attempt": retry["attempt"], "refused": [*copy["refused"], retry["fault"]]}
    return {**retry, "refused": [*copy["refused"], COPY]}
