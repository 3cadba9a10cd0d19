"""Plan what a caption is to be about, for each order alone.

The class is uniform and the kind follows the paper's mixture. A further attempt keeps both, so that
no class or kind loses images by being hard to write about. All else is sampled anew.
"""

import random
from dataclasses import dataclass

from bench.core.json_values import digest
from bench.core.task import Task
from bench.plugins.captions import Caption, CaptionBrief, CaptionOrder
from sources.captions.phrase_lists import of_noun

KINDS = {"class": 0.44, "relation": 0.11, "background": 0.45}
"""Shares of the three kinds, as in (Geng 2024, code, synthesize_text.py:206-215)."""


@dataclass(frozen=True)
class CaptionPlan:
    """What one caption is to be about.

    Attributes:
        label: Index of the class.
        kind: One of `KINDS`.
        template: A template of the kind.
        subject: The class, its noun behind it where the phrases say so.
        relation: One of the relations.
        thing: What else is in the picture.
        background: One of the backgrounds of the task's noun.
        quality: What the picture is like.
        view: What is seen of the thing.
        rng: For whatever else is sampled.
    """

    label: int
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
            label=self.label,
            kind=self.kind,
            text=text,
            relation=self.relation if self.kind == "relation" else None,
            background=self.background if self.kind == "background" else None,
            examples=examples,
        )


def plan_caption(order: CaptionOrder, brief: CaptionBrief) -> CaptionPlan:
    """Return the plan for one order; it depends on the order's seed and attempt alone."""
    task, phrases = brief.task, brief.phrases
    rng = random.Random(order.seed)  # noqa: S311
    label = rng.randrange(len(task.class_names))
    kind = rng.choices(list(KINDS), weights=list(KINDS.values()))[0]
    if order.attempt:
        rng = random.Random(seed_of(order))  # noqa: S311
    return CaptionPlan(
        label=label,
        kind=kind,
        template=rng.choice(phrases[kind]),
        subject=subject(task, label, phrases["say_noun"]),
        relation=rng.choice(phrases["relations"]),
        thing=rng.choice(of_noun(phrases["things"], task.noun)),
        background=rng.choice(of_noun(phrases["backgrounds"], task.noun)),
        quality=rng.choice(phrases["qualities"]),
        view=rng.choice(phrases["views"]),
        rng=rng,
    )


def seed_of(order: CaptionOrder) -> int:
    """Return the seed of one attempt, a number below 2**31, which every server takes."""
    return int(digest([order.seed, order.attempt], 8), 16) >> 1


def subject(task: Task, label: int, say_noun: list[str]) -> str:
    """Return how a class is spoken of, e.g. ``737-200 aircraft``."""
    name = task.prompt_name(task.class_names[label])
    return f"{name} {task.noun}" if task.noun in say_noun else name
