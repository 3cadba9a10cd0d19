"""Captions for a generator: a seeded grammar of the paper's three kinds (002, appendix A.1)."""

import random
from pathlib import Path
from typing import Any

import polars as pl

from bench.declared import read_yaml
from bench.stage import Stage
from bench.types import Context, Json, Task, digest

KINDS = {"class": 0.44, "relation": 0.11, "background": 0.45}
"""Shares of the three kinds, as in the authors' code (PROTOCOL: synthesize_text.py:206-215)."""

_PHRASES = Path(__file__).with_name("captions.yaml")


def captions(block: int, size: int, seed: int, context: Context) -> Stage:
    """Return the finished captions of one block.

    Its one shard holds ``captions.parquet``: key, label, class_name, kind, caption, seed. An item
    depends on the seed and its key alone, never on the items around it.
    """
    task, phrases = context.task, read_yaml(_PHRASES)
    config: Json = {"classes": task.class_names, "noun": task.noun, "phrases": digest(phrases)}
    config |= {"block": block, "size": size, "seed": seed}
    stage = Stage(context.home.data, "captions", config)

    def make(_: int, folder: Path) -> None:
        rows = [_caption(f"b{block:05d}-{item:06d}", seed, task, phrases) for item in range(size)]
        pl.DataFrame(rows).write_parquet(folder / "captions.parquet")

    stage.run(1, make, context.progress)
    return stage


def caption_rows(stage: Stage) -> pl.DataFrame:
    """Return the rows of finished captions."""
    return pl.read_parquet(stage.shard(0) / "captions.parquet")


def _caption(key: str, seed: int, task: Task, phrases: dict[str, Any]) -> dict[str, object]:
    item_seed = int(digest([seed, key], 15), 16)
    rng = random.Random(item_seed)  # noqa: S311
    label = rng.randrange(len(task.class_names))
    kind = rng.choices(list(KINDS), weights=list(KINDS.values()))[0]
    noun = task.noun if task.noun in phrases["backgrounds"] else "object"
    text = rng.choice(phrases[kind]).format(
        name=task.class_names[label],
        relation=rng.choice(phrases["relations"]),
        thing=rng.choice(phrases["things"][noun]),
        background=rng.choice(phrases["backgrounds"][noun]),
    )
    return {
        "key": key,
        "label": label,
        "class_name": task.class_names[label],
        "kind": kind,
        "caption": text,
        "seed": item_seed,
    }
