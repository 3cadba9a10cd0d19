"""What a user may say about the captions that images are generated from."""

import msgspec

from bench.core.config import Natural, Positive
from bench.core.json_values import Json
from bench.plugins import full_options, writers
from sources.screening.screen import ScreeningOptions


class CaptionOptions(ScreeningOptions, frozen=True, kw_only=True):
    """Which writer, about what, and how often it may try again."""

    writer: str = "grammar"
    """A file in ``sources/writers``: grammar, transformers, openai, file or minimal-pairs."""
    writing: Json = {}
    """The writer's own options, e.g. ``source.writing.model``."""
    phrases: str = "paper"
    """Lists of templates, relations and backgrounds: paper, mini, or the path of a YAML file."""
    redraws: Natural = 5
    """Times that a caption is drawn anew while it is unfit, and again while it is a copy."""
    caption_shard_size: Positive = 1000
    """Captions that a kill may cost."""
    block_size: Positive = 10_000
    """Captions in a block."""
    seed: int = 0
    """Seed of captions and images; not the run's seed, which picks the subset."""

    def __post_init__(self) -> None:
        super().__post_init__()
        full = full_options(writers, self.writer, self.writing)
        msgspec.structs.force_setattr(self, "writing", full)
