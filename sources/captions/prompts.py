"""Prompts for a language model: an instruction, three examples, and the beginning of a line."""

import random
from functools import cache
from pathlib import Path

from bench.core.json_values import Json, digest
from bench.core.yaml_files import read_yaml
from bench.plugins.captions import CaptionBrief, CaptionOrder
from sources.captions.plan import CaptionPlan, plan_caption

SHOTS = 3
"""Examples in a prompt, sampled anew for each (Tian 2023, section 3.1; Geng 2024, appendix A.1)."""

INSTRUCTIONS = {
    "class": "Write a short caption of a picture that shows the given thing.",
    "relation": "Write a short caption of a picture that shows the given thing and has the "
    "given relation in it.",
    "background": "Write a short caption of a picture that shows the given thing in the given "
    "place or moment.",
}

_EXAMPLES = Path(__file__).with_name("examples.yaml")


def prompt_for(
    order: CaptionOrder, brief: CaptionBrief
) -> tuple[CaptionPlan, str, tuple[str, ...]]:
    """Return the plan for one order, its prompt, and the examples in that prompt."""
    plan = plan_caption(order, brief)
    examples = shots(plan.kind, plan.rng)
    beginning = f"{_input(plan.kind, plan.subject, plan.relation, plan.background)} =>"
    return plan, "\n".join([INSTRUCTIONS[plan.kind], *examples, beginning]), examples


def shots(kind: str, rng: random.Random) -> tuple[str, ...]:
    """Return the example lines of one prompt."""
    return tuple(rng.sample(example_lines()[kind], SHOTS))


@cache
def example_lines() -> dict[str, list[str]]:
    """Return all example lines of each kind, as ``input => caption``."""
    return {
        kind: [_line(kind, example) for example in examples]
        for kind, examples in read_yaml(_EXAMPLES).items()
    }


def prompts_digest() -> str:
    """Return what stands for the instructions and the examples: other ones write other captions."""
    return digest([INSTRUCTIONS, SHOTS, example_lines()])


MAX_LINE = 1_000
"""Characters of a line that are kept: more than a caption may have, so that it is refused."""


def first_line(completion: str) -> str:
    """Return the caption at the beginning of what a model wrote after a prompt."""
    return completion.strip().partition("\n")[0].strip()[:MAX_LINE]


def _line(kind: str, example: Json) -> str:
    asked = _input(kind, example["input"], example.get("relation"), example.get("background"))
    return f"{asked} => {example['caption']}"


def _input(kind: str, subject: str, relation: str | None, background: str | None) -> str:
    return ", ".join(
        {
            "class": [subject],
            "relation": [subject, str(relation)],
            "background": [subject, str(background)],
        }[kind]
    )
