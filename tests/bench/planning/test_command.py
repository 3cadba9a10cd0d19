"""The command that repeats a run: what it resolves to is that run."""

import shlex

import click.testing
import msgspec
import pytest

from bench.commands._options import run_spec
from bench.commands.run import command as run_command
from bench.core.specs import RunSpec
from bench.planning.command import command_of
from bench.planning.preset import resolve

CASES = [
    [],
    ["train.lr=1e-4", "train.epochs=3", "order=balanced"],
    ["source.filter.tau=0.3", "source.pool='a: b'"],
    ["evaluators.zero-shot=null", "evaluators.knn={}"],
    ["evaluators.linear-probe.rule=best", "model=yes"],
    ["objective=simclr", "objective.temperature=0.2", "train.batch_size=128"],
    ["model='1e-5'"],
]


def parsed(line: str) -> RunSpec:
    """Return the spec that a command line asks for, by the command's own options."""
    program, name, *words = shlex.split(line)
    assert (program, name) == ("bench", "run")
    given = run_command.make_context("run", words, resilient_parsing=False).params
    names = ("source", "task", "n", "seed", "preset", "objective", "settings")
    options = {name: given[name] for name in names}
    spec: RunSpec = run_spec(**options, allow_incomplete=False, plugin=None)
    return spec


@pytest.mark.parametrize("settings", CASES, ids=" ".join)
@pytest.mark.parametrize(("n", "seed"), [(None, 0), (31_250, 7)])
def test_the_command_asks_for_the_same_run(settings: list[str], n: int | None, seed: int) -> None:
    spec = resolve("mini", task="aircraft", source="retrieved", n=n, seed=seed, settings=settings)
    assert parsed(command_of(spec)).run_id == spec.run_id


def test_only_what_differs_from_the_preset_is_said() -> None:
    spec = resolve("mini", task="aircraft", source="synthetic", n=500, settings=["train.lr=0.25"])
    assert command_of(spec) == (
        "bench run --preset mini --source synthetic --task mini-aircraft --n 500 "
        "--set train.lr=0.25"
    )


def test_what_cannot_be_had_here_has_no_command() -> None:
    spec = resolve("mini", task="aircraft", source="retrieved", n=10)
    for change in (
        {"preset": "gone"},
        {"source": "gone"},
        {"task": "gone"},
        {"options": {**spec.options, "gone": 1}},
        {"objective": "gone"},
    ):
        assert command_of(msgspec.structs.replace(spec, **change)) == ""


def test_click_is_asked_as_the_command_line_asks() -> None:
    """`parsed` uses the command's own parser, so a changed option is seen."""
    ended = click.testing.CliRunner().invoke(run_command, ["--help"])
    assert all(option in ended.output for option in ("--preset", "--set", "--objective"))
