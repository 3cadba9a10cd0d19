"""Prompts and queries are checked when a task is made, wherever it comes from."""

from pathlib import Path
from typing import Any

import pytest

from bench.core.config import parse_config
from bench.core.errors import RequestError
from bench.core.task import Task
from bench.plugins.registry import load_plugin

GOOD: dict[str, Any] = {
    "name": "t",
    "version": 1,
    "class_names": ("no", "on"),
    "templates": ("a photo of a {}.",),
    "domain_texts": ("a photo.",),
}

WRONG = [
    ("templates", [], "it is empty"),
    ("templates", [" "], "empty text"),
    ("templates", ["a photo"], "'a photo' needs one {}"),
    ("templates", ["{} {}"], "needs one {}"),
    ("templates", ["a {c}."], "needs one {}"),
    ("templates", ["{0}"], "needs one {}"),
    ("templates", ["{", "a {}"], "needs one {}"),
    ("templates", ["a {} {"], "needs one {}"),
    ("templates", ["a {}{{}}"], "needs one {}"),
    ("domain_texts", [], "it is empty"),
    ("domain_texts", ["a", ""], "empty text"),
    ("queries", {"no": ""}, "'no' asks for nothing"),
    ("queries", {"no": []}, "'no' asks for nothing"),
    ("queries", {"no": {"any": ["a"], "with": [""]}}, "'no' asks for nothing"),
    ("queries", {"yes": "a"}, "there is no class 'yes'"),
    ("queries", {"onn": "a"}, "there is no class 'onn'; did you mean on?"),
    ("prompt_names", {"yes": "a"}, "there is no class 'yes'"),
]


@pytest.mark.parametrize(("field", "value", "why"), WRONG)
def test_what_cannot_be_used_is_refused_with_its_place(field: str, value: Any, why: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_config(Task, GOOD | {field: value}, "the task t")
    assert str(refused.value).startswith(f"the task t: {field}: ")
    assert why in str(refused.value)


def test_what_can_be_used_is_taken() -> None:
    task = parse_config(Task, GOOD | {"queries": {"no": ["No.", "not"]}}, "t")
    assert task.prompts("on") == ["a photo of a on."]
    assert task.query("no").any == ("No.", "not")


def test_a_plug_in_s_task_is_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"from bench.core.task import Task\nTask(**{GOOD | {'templates': ('a',)}})\n")
    with pytest.raises(RequestError, match=r"mine\.py does not import: templates: 'a' needs one"):
        load_plugin(path)
