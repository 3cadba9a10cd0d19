"""Plan what a caption is to be about, for each order alone.

Concept and kind are sampled by their shares. A further attempt keeps both, so that no concept or
kind loses images by being hard to write about. All else is sampled anew.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from bench.core.json_values import digest
from bench.plugins.captions import Caption, CaptionBrief, CaptionOrder, Concept
from sources.captions.phrase_lists import of_noun


@dataclass(frozen=True)
class CaptionPlan:
    """What one caption is to be about.

    Attributes:
        concept: What it is.
        kind: ``class``, ``relation`` or ``background``.
        template: A template of the kind.
        subject: The concept, its noun behind it where the phrases say so.
        relation: One of the relations.
        thing: What else is in the picture.
        background: One of the backgrounds of the concept's noun.
        quality: What the picture is like.
        view: What is seen of the thing.
        rng: For whatever else is sampled.
    """

    concept: Concept
    kind: str
    template: str
    subject: str
    relation: str
    thing: str
    background: str
    quality: str
    view: str
    rng: random.Random

    def caption(self, text: str, examples: tuple[str, ...] = ()) -> Caption:
        """Return a text written for this plan, with what its kind asked for."""
        return Caption(
            label=self.concept.label,
            kind=self.kind,
            text=text,
            relation=self.relation if self.kind == "relation" else None,
            background=self.background if self.kind == "background" else None,
            examples=examples,
            concept=self.concept.name,
        )


def plan_caption(order: CaptionOrder, brief: CaptionBrief) -> CaptionPlan:
    """Return the plan for one order; it depends on the order's seed and attempt alone."""
    phrases = brief.phrases
    rng = random.Random(order.seed)  # noqa: S311
    concept = sampled_concept(rng, brief)
    kinds = {
        kind: share
        for kind, share in brief.kinds.items()
        if not concept.kinds or kind in concept.kinds
    }
    kind = rng.choices(list(kinds), weights=list(kinds.values()))[0]
    if order.attempt:
        rng = random.Random(seed_of(order))  # noqa: S311
    return CaptionPlan(
        concept=concept,
        kind=kind,
        template=rng.choice(phrases[kind]),
        subject=subject(concept, phrases["say_noun"]),
        relation=rng.choice(phrases["relations"]),
        thing=rng.choice(of_noun(phrases["things"], concept.noun)),
        background=rng.choice(of_noun(phrases["backgrounds"], concept.noun)),
        quality=rng.choice(phrases["qualities"]),
        view=rng.choice(phrases["views"]),
        rng=rng,
    )


def sampled_concept(rng: random.Random, brief: CaptionBrief) -> Concept:
    """Return one of the concepts, by their shares."""
    if brief.weights:
        return rng.choices(brief.concepts, cum_weights=brief.weights)[0]
    return brief.concepts[rng.randrange(len(brief.concepts))]


def seed_of(order: CaptionOrder) -> int:
    """Return the seed of one attempt, a number below 2**31, which every server takes."""
    return int(digest([order.seed, order.attempt], 8), 16) >> 1


def subject(concept: Concept, say_noun: Sequence[str]) -> str:
    """Return how a concept is spoken of, e.g. ``737-200 aircraft``."""
    name = concept.prompt_name
    return f"{name} {concept.noun}" if concept.noun in say_noun else name
