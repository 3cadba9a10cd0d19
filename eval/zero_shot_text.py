"""Zero-shot accuracy with the frozen text head: what adaptation did to the tower alone.

The paper's own figure is `zero-shot`, whose head was trained along on images that may be
mislabelled (PROTOCOL, sections 6 and 10).
"""

from bench.core.config import Config
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval._head import classify


@evaluators.register("zero-shot-text")
class ZeroShotText:
    """Judges an adapted tower by the head that the task's prompts give."""

    class Options(Config, frozen=True, kw_only=True):
        """There is nothing to choose."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def validate(self, model: ModelView) -> Evaluation:
        """Judge on the validation split."""
        return classify(model.text_logits("val"), model.labels("val"))

    def test(self, model: ModelView) -> Evaluation:
        """Judge on the test split."""
        return classify(model.text_logits("test"), model.labels("test"))
