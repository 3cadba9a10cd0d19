"""Zero-shot accuracy with the frozen text head: what adaptation did to the tower alone.

The paper reports `zero-shot`, whose head was trained on images that may be mislabelled (Geng 2024,
code, main.py:63-68).
"""

from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval._shared import NothingChosen, classify


@evaluators.register("zero-shot-text")
class ZeroShotText(NothingChosen):
    """Evaluates an adapted tower by the head of the task's prompts."""

    needs_head = False

    def _evaluate(self, model: ModelView, split: str) -> Evaluation:
        return classify(model, split, model.text_logits(split))
