"""A language model that is small and knows nothing."""

from pathlib import Path

import pytest

from tests.support.language_models import write_tiny_llm


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llm(tmp_path_factory.mktemp("llm") / "tiny")
