"""A seeded grammar: templates filled in, no model. The default, for it needs nothing."""

from collections.abc import Sequence

from bench.core.config import Config
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.plugins import writers
from bench.plugins.captions import Caption, CaptionBrief, CaptionOrder
from sources.captions.article import with_article
from sources.captions.plan import CaptionPlan, plan_caption


@writers.register("grammar")
class Grammar:
    """Templates of the paper's three kinds (Geng 2024, appendix A.1), filled in at random."""

    fixed = False

    class Options(Config, frozen=True, kw_only=True):
        """None: `source.captions.phrases` says what it puts together."""

    def __init__(self, options: Options) -> None:
        """Take no options."""

    def config(self, home: Home) -> Json:
        """Return nothing: all depends on the brief."""
        return {}

    def write(self, orders: Sequence[CaptionOrder], brief: CaptionBrief) -> list[Caption]:
        """Fill in one template per order."""
        return [_filled(plan_caption(order, brief)) for order in orders]


def _filled(plan: CaptionPlan) -> Caption:
    text = plan.template.format(
        name=plan.concept.prompt_name,
        subject=plan.subject,
        a_subject=with_article(plan.subject),
        relation=plan.relation,
        thing=plan.thing,
        background=plan.background,
        quality=plan.quality,
        view=plan.view,
    )
    return plan.caption(text)
