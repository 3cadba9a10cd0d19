"""Runs stay away from the Hub; what fetches does not."""

import pytest
from huggingface_hub import constants, is_offline_mode

from bench.runtime.hub import fetching


def test_fetching_is_an_exception_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with fetching():
        assert not is_offline_mode()
    assert is_offline_mode()
