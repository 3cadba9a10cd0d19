"""What there is, and what it means: `bench list` and `bench show`."""

from pathlib import Path
from typing import Any

import pytest

from bench import plugins
from bench.commands._kinds import KINDS, PLUGINS, kind_of
from bench.core.described import described
from bench.core.specs import TrainSpec
from bench.plugins.registries import options_type
from tests.conftest import ROOT, Bench

OPTIONS: dict[str, Any] = {
    f"{kind}:{name}": options_type(getattr(plugins, kind), name)
    for kind in PLUGINS
    if kind != "tasks"
    for name in getattr(plugins, kind).names()
    if not getattr(plugins, kind).get(name).__module__.startswith("tests.")
}

HOSTILE = '''
"""A file with two plug-ins."""

from bench.plugins import Config, writers


@writers.register("hostile")
class Hostile:
    """Sets the title: \\x1b]0;owned\\x07 of a terminal.

    And more.
    """

    class Options(Config, frozen=True, kw_only=True):
        """One."""

        red: str = "\\x1b[31m"
        """Says \\x1b[31m in red."""
'''


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_listed_has_a_line_that_says_what_it_is_and_can_be_shown(
    bench: Bench, bench_process: Bench, kind: str
) -> None:
    # Another process has no plug-ins of other tests.
    lines = bench_process("list", kind).out.splitlines()
    assert {line.split()[0] for line in lines} <= set(kind_of(kind).names())
    assert lines
    for line in lines:
        name, _, what = line.partition(" ")
        assert len(what.split()) > 2, line
        done = bench("show", name)
        assert (done.code, done.err) == (0, "")
        assert done.out.strip()


def test_without_a_kind_all_are_listed(bench: Bench) -> None:
    listed = bench("list").out
    for kind in KINDS:
        assert f"\n{kind}\n  " in f"\n{listed}"
        for line in bench("list", kind).out.splitlines():
            assert f"\n  {line}\n" in listed


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_fit_the_terminal(bench: Bench, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = bench("list", "evaluators").out.splitlines()
    assert max(map(len, lines)) <= width
    for name in ("retrieved", "train", "linear-probe", "openai"):
        shown = bench("show", name).out
        assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_says_what_it_means(name: str) -> None:
    silent = [setting.name for setting in described(OPTIONS[name]) if not setting.meaning]
    assert not silent


def test_every_setting_of_training_says_what_it_means() -> None:
    assert all(setting.meaning for setting in described(TrainSpec))


def test_an_option_is_shown_with_its_default_its_values_and_its_meaning(bench: Bench) -> None:
    shown = bench("show", "linear-probe").out
    assert "options: --set evaluators.linear-probe.NAME=VALUE" in shown
    assert (
        "  rule = one-se  (one-se | best)\n"
        "      Which penalty: the largest within one standard error of the best, or the\n"
        "      best.\n"
    ) in shown
    assert "\n  lr = 1e-05  (number above 0)\n      Learning rate" in bench("show", "train").out


def test_a_preset_is_shown_as_it_is_written(bench: Bench) -> None:
    shown = bench("show", "paper").out
    assert "  epochs: 30          # Geng 2024, section 4\n" in shown


def test_a_presets_file_is_shown_and_what_it_does_not_say_is_looked_up_where_it_is(
    bench: Bench, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("extends: mini-ssl\ndescription: Mine.  # ours\n")
    shown = bench("show", str(own)).out
    assert shown.startswith(own.read_text())
    assert "is as in `bench show mini-ssl`" in shown
    assert "default" not in shown
    assert "has its default" in bench("show", "paper").out
    assert "unknown preset" in bench("show", "missing.yaml").complaint
    own.write_text("grid: []\n")
    assert "unknown setting of the preset" in bench("show", str(own)).complaint


def test_a_plugin_of_a_file_is_listed_and_shown(bench_process: Bench, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(HOSTILE)
    listed = bench_process("list", "writers", "--plugin", str(file)).out
    (line,) = (line for line in listed.splitlines() if line.startswith("hostile "))
    assert line.endswith("Sets the title: \\x1b]0;owned\\x07 of a terminal.")
    shown = bench_process("show", "hostile", "--plugin", str(file)).out
    assert "\x1b" not in shown + listed
    assert "  red = \\x1b[31m  (text)\n      Says \\x1b[31m in red.\n" in shown
    assert "And more." in shown
    done = bench_process("list", "--plugin", str(tmp_path / "none.py"))
    assert (done.code, done.out) == (2, "")


def test_a_broken_package_does_not_hide_the_others(bench_process: Bench, tmp_path: Path) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.sources]\nbroken = nowhere:Source\n")
    done = bench_process("list", "sources", PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert done.code == 0
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert "does not import: No module named 'nowhere'" in lines["broken"]
    assert {"real", "retrieved", "synthetic"} <= set(lines)
