"""YAML files hold a mapping, or are refused with their name; values are read as YAML 1.2 has it."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import RequestError
from bench.core.json_values import readable_json
from bench.core.yaml_files import declaration, parse_yaml, read_yaml


@pytest.mark.parametrize(
    "content",
    [
        "- a list", "a: [", "\0", "x" * 2_000_000, "a: 0o9", "[" * 9_999, None, "", "a: 1\na: 2",
        "a: &b 1\nc: *b", "a: !!python/name:os.system", "a: !!set {b}", "\ta: 1", b"a: \xff",
    ],
)  # fmt: skip
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str | bytes | None) -> None:
    path = tmp_path / "file.yaml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if content == "a: 0o9":
        assert read_yaml(path) == {"a": "0o9"}
        return
    with pytest.raises(RequestError, match=r"file\.yaml"):
        read_yaml(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_may_be_of_another_editor(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes("name: größe\r\nlr: 1e-5\r\n".encode(encoding))
    assert read_yaml(path) == {"name": "größe", "lr": 1e-5}


def test_a_file_without_an_end_is_refused() -> None:
    with pytest.raises(RequestError, match="longer than 1,000,000 bytes"):
        read_yaml(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(word, word) for word in ("no", "yes", "on", "off", "Norway", "12:30", "2020-01-01")],
        *[(word, word) for word in ("1_000", "0x_", "1e", ".", "=", "<<", "nan")],
        *[("true", True), ("False", False), ("~", None), ("", None), ("null", None)],
        *[("1e-5", 1e-5), ("1E5", 1e5), (".5", 0.5), ("5.", 5.0), ("-7", -7), ("+7", 7), ("0", 0)],
        *[("0x1F", 31), ("0o17", 15), ("'010'", "010"), ("0.10", 0.1), ("-0.5", -0.5)],
    ],
)
def test_a_value_is_what_yaml_1_2_says(text: str, value: object) -> None:
    read = parse_yaml(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize("text", ["010", "-010", "007", "00.5", ".inf", "-.inf", ".nan", "1e999"])
def test_a_number_that_others_read_otherwise_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"leading zero.*quotes|finite number"):
        parse_yaml(text)


@pytest.mark.parametrize("character", ["\x85", "\u2028", "\u2029", "\0", "\x7f"])
def test_a_character_that_others_read_otherwise_is_refused(character: str) -> None:
    escape = f"\\u{ord(character):04x}"
    with pytest.raises(ValueError, match=f"U\\+{ord(character):04X}.*{re.escape(escape)}"):
        parse_yaml(f'a: "b{character}c"')
    assert parse_yaml(f'a: "b{escape}c"') == {"a": f"b{character}c"}


_UNPRINTABLE = re.compile(
    "[^\\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
"""What YAML does not allow in a text; readable JSON escapes the rest."""


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)  # fmt: skip
def test_what_is_written_as_json_is_read_as_yaml(value: object) -> None:
    text = readable_json(value).decode()
    if _UNPRINTABLE.search(text):
        return
    read = parse_yaml(text)
    assert read == value or (isinstance(value, float) and math.isclose(read, value))


def test_a_declaration_under_another_name_is_refused(tmp_path: Path) -> None:
    assert declaration(tmp_path, "task.yaml") is None
    (tmp_path / "task.yaml").write_text("metric: accuracy")
    assert declaration(tmp_path, "task.yaml") == tmp_path / "task.yaml"
    for name in ("task.yml", "Task.yaml", "TASK.YML"):
        (tmp_path / name).touch()
        with pytest.raises(RequestError, match=f"{name}, which is not read; rename it to task.ya"):
            declaration(tmp_path, "task.yaml")
        (tmp_path / name).unlink()
