"""Zero-shot accuracy: the adapted tower with the head it was trained with (002, section 4).

No labelled image of the task is used. For the unadapted model the head is the text head.
"""

from bench.core.config import Config
from bench.plugins import evaluators
from bench.plugins.evaluation import Evaluation, ModelView
from eval._head import classify


@evaluators.register("zero-shot")
class ZeroShot:
    """Judges a classifier by its own head."""

    class Options(Config, frozen=True, kw_only=True):
        """There is nothing to choose."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def validate(self, model: ModelView) -> Evaluation:
        """Judge on the validation split."""
        return classify(model.head_logits("val"), model.labels("val"))

    def test(self, model: ModelView) -> Evaluation:
        """Judge on the test split."""
        return classify(model.head_logits("test"), model.labels("test"))
