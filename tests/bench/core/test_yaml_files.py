"""YAML files hold a mapping, or are refused with their name."""

from pathlib import Path

import pytest

from bench.core.errors import RequestError
from bench.core.yaml_files import read_yaml


@pytest.mark.parametrize(
    "content",
    ["- a list", "a: [", "\0", "x" * 2_000_000, "a: 2020-99-99", "a: 0x_", "[" * 9_999, None],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "file.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RequestError, match=r"file\.yaml"):
        read_yaml(path)
