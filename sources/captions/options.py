"""What a user may say about the captions that images are generated from."""

from bench.core.config import Config, Natural, PathText, Positive
from bench.core.json_values import Json
from bench.plugins import full_options, writers


class CaptionOptions(Config, frozen=True, kw_only=True):
    """Which writer, about what, and how often it may try again."""

    writer: str = "grammar"
    """A file in ``sources/writers``: grammar, transformers, openai, file or minimal-pairs."""
    options: Json = {}
    """The writer's own options, e.g. ``source.captions.options.model``."""
    phrases: PathText = "paper"
    """Lists of templates, relations and backgrounds: paper, mini, or the path of a YAML file."""
    retries: Natural = 5
    """Times that a caption is written anew while it is unfit, and again while it is a copy."""
    shard_size: Positive = 1000
    """Captions that a kill may cost."""
    block_size: Positive = 10_000
    """Captions in a block."""

    @classmethod
    def complete(cls, values: Json) -> Json:
        """Return values with all options of the writer."""
        writer, options = values.get("writer", "grammar"), values.get("options", {})
        if not isinstance(writer, str) or not isinstance(options, dict):
            return values
        return {**values, "options": full_options(writers, writer, options)}
