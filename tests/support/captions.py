"""Blocks of captions as a source asks for them."""

from collections.abc import Sequence
from typing import Any

from bench.core.config import parse_config
from bench.core.paths import Home
from bench.core.task import Task
from bench.plugins import writer_of
from bench.plugins.captions import CaptionBrief
from bench.storage.stage import Stage
from sources.captions.generate import captions
from sources.captions.options import CaptionOptions
from sources.captions.planned import planned
from tests.support.contexts import context


def write_block(
    home: Home, task: Task, *, earlier: Sequence[Stage] = (), seed: int = 0, **more: Any
) -> Stage:
    """Return the next block of captions; ``more`` are options of the captions."""
    options = parse_config(CaptionOptions, more, "captions")
    writer = writer_of(options.writer, options.options)
    return captions(options, seed, writer, context(home, task), earlier)


def brief_of(home: Home, task: Task, **more: Any) -> CaptionBrief:
    """Return what a writer gets; ``more`` are options of the captions."""
    options = parse_config(CaptionOptions, more, "captions")
    writer = writer_of(options.writer, options.options)
    return CaptionBrief(task, home, *planned(options, writer, task), kinds=options.shares)
