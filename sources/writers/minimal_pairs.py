"""Minimal pairs: captions that differ in one word, the class, as SuperStableRep's prompts do."""

from collections.abc import Sequence

from bench.core.config import Config
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.plugins import writers
from bench.plugins.captions import Caption, CaptionBrief, CaptionOrder, Concept

TEMPLATES = (
    "the {} next to an old oak",
    "the {} in front of a red barn",
    "the {} on a wide grey square",
    "the {} under a heavy sky",
    "the {} behind a low hedge",
    "the {} in the last light of the day",
    "the {} in front of snowy hills",
    "the {} seen from far away",
    "a good photo of one {}",
    "a drawing of one {}",
)
"""Ours, as many as SuperStableRep's code has. None has ``a`` or ``an`` before the class, which
would differ with it."""


@writers.register("minimal-pairs")
class MinimalPairs:
    """Each template is filled in with every class in turn, so that two rows differ in the class.

    A caption's ``pair`` is its template: any two captions of it that differ are a minimal pair.
    The rounds over all classes go on for as long as captions are wanted, and so the same prompts
    come back: several images of one prompt are what the method is about.
    """

    fixed = True
    paired = True
    ignored = ("kinds", "weights")

    class Options(Config, frozen=True, kw_only=True):
        """None: the templates are fixed."""

    def __init__(self, options: Options) -> None:
        """Take no options."""

    def config(self, home: Home) -> Json:
        """Return the templates."""
        return {"templates": TEMPLATES, "pair": "template"}

    def write(self, orders: Sequence[CaptionOrder], brief: CaptionBrief) -> list[Caption]:
        """Fill in the template of each order's round with the class of its turn."""
        return [_caption(order, brief.concepts) for order in orders]


def _caption(order: CaptionOrder, concepts: Sequence[Concept]) -> Caption:
    turn, place = divmod(order.number, len(concepts))
    concept, template = concepts[place], TEMPLATES[turn % len(TEMPLATES)]
    text = template.format(concept.prompt_name)
    return Caption(concept.label, "minimal-pair", text, pair=template, concept=concept.name)
