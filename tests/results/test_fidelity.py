"""What stands beside results of the miniature world."""

import pytest

from bench.planning import preset
from results.fidelity import caution


@pytest.mark.parametrize("name", preset.names())
def test_results_of_every_miniature_preset_say_so(name: str) -> None:
    miniature = "mini-aircraft" in preset.load(name).tasks.values()
    said = "not comparable with published numbers" in caution({}, name, "mini-aircraft")
    assert said == miniature
