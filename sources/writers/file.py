"""Captions of one's own, from a CSV, JSON Lines or Parquet file."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from bench.core.config import Config, PathText
from bench.core.files import content_hash
from bench.core.json_values import Json, digest
from bench.core.missing import MissingError
from bench.core.paths import Home
from bench.core.task import Task
from bench.plugins import writers
from bench.plugins.captions import Caption, CaptionBrief, CaptionOrder
from sources.captions.file_reader import read_captions


@writers.register("file")
class FromFile:
    """A file's captions in a seeded order, each once before any comes back."""

    fixed = True
    ignored = ("kinds", "concepts")

    class Options(Config, frozen=True, kw_only=True):
        """Which file, and what it says."""

        later: ClassVar = ("labelled",)

        path: PathText
        """A CSV, JSON Lines or Parquet file with the columns caption, and class or label."""
        labelled: bool = True
        """Whether captions have a class. If not, such as those of cc12m, the column caption is
        enough, and ce and supcon refuse the images."""

    def __init__(self, options: Options) -> None:
        self._path = Path(options.path)
        self._labelled = options.labelled
        self._captions: list[Caption] = []

    def config(self, home: Home) -> Json:
        """Return a hash of the file: a word that is changed makes other captions."""
        if not self._path.exists():
            raise MissingError(
                f"the captions are not in {self._path}",
                "put them there, or set source.captions.options.path",
            )
        config: Json = {"file": content_hash(self._path)}
        return config if self._labelled else config | {"labelled": False}

    def others(self, task: Task) -> bool:
        """Return whether captions have no class."""
        return not self._labelled

    def write(self, orders: Sequence[CaptionOrder], brief: CaptionBrief) -> list[Caption]:
        """Return the caption at each order's place."""
        if not self._captions:
            self._captions = read_captions(self._path, brief.task, labelled=self._labelled)
            seed = int(digest([content_hash(self._path)], 15), 16)
            random.Random(seed).shuffle(self._captions)  # noqa: S311
        return [self._captions[order.number % len(self._captions)] for order in orders]
