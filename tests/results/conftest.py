"""A home for records."""

from pathlib import Path

import pytest

from bench.core.paths import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    # A home folder's name may be a pattern to others.
    return Home(tmp_path / "home [1] *")
