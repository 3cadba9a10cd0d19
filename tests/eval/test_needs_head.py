"""Evaluators say whether they judge the classifier's head, which not every objective trains."""

import pytest

from bench.core.arrays import FloatArray
from bench.plugins import evaluator_of, evaluators
from bench.plugins.optional import NeedsHead, TakesPatches
from tests.support.tiny_clip import colour_task
from tests.support.views import View, blobs


class Watched(View):
    """A model that notes whether its trained head is looked at."""

    head_seen = False

    def head(self) -> tuple[FloatArray, FloatArray]:
        self.head_seen = True
        return super().head()


@pytest.mark.parametrize("name", evaluators.names())
def test_an_evaluator_that_looks_at_the_head_says_so(name: str) -> None:
    names = ("train", "val", "test", "dusk")
    splits = {split: blobs(30, seed, 0.1) for seed, split in enumerate(names)}
    model, plugin = Watched(splits, colour_task(dusk=30)), evaluator_of(name, {})
    if isinstance(plugin, TakesPatches):
        assert not isinstance(plugin, NeedsHead)
        return  # This model has no patches.
    plugin.validate(model)
    plugin.test(model)
    assert (isinstance(plugin, NeedsHead) and plugin.needs_head) == model.head_seen
