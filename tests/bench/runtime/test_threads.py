"""How many threads small networks use, how threads wait, and what overrides that."""

import json
import os
from pathlib import Path

import pytest
import torch

from bench.runtime import threads


def test_waiting_threads_sleep_unless_the_environment_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    threads.sleep_at_barriers()
    assert "OMP_WAIT_POLICY" not in os.environ
    monkeypatch.delenv("GOMP_SPINCOUNT")
    threads.sleep_at_barriers()
    assert os.environ.pop("OMP_WAIT_POLICY") == "PASSIVE"


def test_a_small_network_has_one_thread_unless_the_environment_decides(
    tiny_clip: Path, large_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        with threads.limited_for(tiny_clip):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with threads.limited_for(large_weights):
            assert torch.get_num_threads() == 3
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        with threads.limited_for(tiny_clip):
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("width", "small"), [(64, True), (768, False), (None, False)])
def test_an_architecture_is_as_small_as_it_is_narrow(
    tmp_path: Path, width: int | None, small: bool
) -> None:
    timm = {"timm_model_name": "vit_base_patch16_224"}
    tower = {"image_size": 32, **({"width": width} if width else timm)}
    preprocessing = {"mean": [0.5] * 3, "std": [0.5] * 3}
    config = {"model_cfg": {"vision_cfg": tower}, "preprocess_cfg": preprocessing}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"weights": "none"} | config))
    assert threads.is_small(tmp_path) == small
