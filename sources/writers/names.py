"""Names side by side: a concept, what it is a kind of, and a place, as SynCLR's IN+h+Places."""

import random
from collections.abc import Sequence

from bench.core.config import Config
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.plugins import writers
from bench.plugins.captions import Caption, CaptionBrief, CaptionOrder
from sources.captions.phrase_lists import of_noun
from sources.captions.plan import sampled_concept, seed_of


@writers.register("names")
class Names:
    """Captions such as "tench, fish, in a harbour": no sentence (Tian 2023, section 4.1, a).

    The concept and one of its backgrounds are sampled; with `source.captions.phrases=places` those
    are places. Between them stands the concept's hypernym, if the phrases have one for it, or else
    its noun.
    """

    fixed = False
    ignored = ("kinds",)

    class Options(Config, frozen=True, kw_only=True):
        """None: `source.captions.phrases` has the hypernyms and the places."""

    def __init__(self, options: Options) -> None:
        """Take no options."""

    def config(self, home: Home) -> Json:
        """Return nothing: all depends on the brief."""
        return {}

    def write(self, orders: Sequence[CaptionOrder], brief: CaptionBrief) -> list[Caption]:
        """Put three names together per order."""
        return [_caption(order, brief) for order in orders]


def _caption(order: CaptionOrder, brief: CaptionBrief) -> Caption:
    concept = sampled_concept(random.Random(order.seed), brief)  # noqa: S311
    rng = random.Random(seed_of(order))  # noqa: S311
    place = rng.choice(of_noun(brief.phrases["backgrounds"], concept.noun))
    hypernym = brief.phrases.get("hypernyms", {}).get(concept.name, concept.noun)
    text = f"{concept.prompt_name}, {hypernym}, {place}"
    return Caption(concept.label, "names", text, background=place, concept=concept.name)
