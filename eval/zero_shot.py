"""Zero-shot accuracy: the adapted tower with the head it was trained with (Geng 2024, section 4).

No labelled image of the task is used. The unadapted model's head is the text head.
"""

from bench.plugins import evaluators
from eval._shared import NothingChosen


@evaluators.register("zero-shot")
class ZeroShot(NothingChosen):
    """Evaluates a classifier by its own head."""
