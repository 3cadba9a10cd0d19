"""What a figure is asked to show, from the options of ``bench figure``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bench.core.errors import RequestError, unknown_name
from bench.core.terminal import escaped
from results.database import queries
from results.drawing.look import LOOKS, Place
from results.drawing.wanted import Wanted
from results.experiment import Experiment, file_names

if TYPE_CHECKING:
    from bench.core.paths import Home
    from results.database.store import Connection
    from results.drawing.drawn import Drawn

_PAGE = 9
"""Inches of text on a page of a paper (NeurIPS's), from above to below."""

_FIELDS = ("task", "preset", "objective")


def draw_all(
    draws: Mapping[str, Callable[[Wanted], Drawn]], wanted: Iterable[tuple[str, Wanted]]
) -> Iterator[tuple[str, Drawn]]:
    """Yield each figure of each experiment, and the name of its files.

    Where there is nothing to draw, a line on standard error says so.

    Args:
        draws: A figure's name to what draws it.
        wanted: What `wanted_figures` yields.

    Raises:
        RequestError: If there is nothing to draw at all.
    """
    nothing: list[RequestError] = []
    count = 0
    for stem, wish in wanted:
        for name, draw in draws.items():
            try:
                drawn = draw(wish)
            except RequestError as error:
                nothing.append(error)
                continue
            count += 1
            if drawn.look.place == "paper" and drawn.figure.get_figheight() > _PAGE:
                _note(
                    f"{name}-{stem} is taller than a page of {_PAGE} inches: choose with "
                    "--evaluator, or --wide"
                )
            yield f"{name}-{stem}", drawn
    if not count:
        raise (
            nothing[0]
            if nothing
            else RequestError(
                "no finished run has results to draw", "look at `bench report` for failures"
            )
        )
    for each in nothing:
        _note(str(each))


def _note(text: str) -> None:
    click.echo(f"bench: note: {escaped(text)}", err=True)


def wanted_figures(
    home: Home,
    connection: Connection,
    *,
    place: Place,
    **options: Any,  # noqa: ANN401 (of several types)
) -> Iterator[tuple[str, Wanted]]:
    """Yield what to show of each experiment that the options fit, and the name of its files.

    Args:
        home: Where the records are.
        connection: The database.
        place: What the figures are for.
        options: ``task``, ``preset`` and ``objective``, None for any; and fields of `Wanted`.

    Raises:
        RequestError: If there is no such task, preset, objective, evaluator or arm.
    """
    names = file_names(queries.experiments(connection))
    experiments = list(names)
    for field in _FIELDS:
        experiments = _of(experiments, field, options.pop(field))
    means = {each: queries.scaling(connection, each) for each in experiments}
    for kind, option, column in (
        ("evaluator", "evaluators", "evaluator"),
        ("arm", "arms", "label"),
    ):
        known = {name for frame in means.values() for name in frame[column]}
        for name in options[option]:
            if name not in known:
                raise unknown_name(kind, name, known)
    arms = options["arms"]
    if arms and (len(arms) != 2 or len(set(arms)) != 2):
        raise RequestError("an arm is compared with one other", "give --arm twice, or not at all")
    for experiment in experiments:
        there = set(means[experiment]["evaluator"])
        of_it = {
            "evaluators": tuple(
                name for name in dict.fromkeys(options["evaluators"]) if name in there
            )
        }
        if of_it["evaluators"] or not options["evaluators"]:
            yield (
                names[experiment],
                Wanted(home, connection, experiment, LOOKS[place], **(options | of_it)),
            )


def _of(experiments: Sequence[Experiment], field: str, wanted: str | None) -> list[Experiment]:
    """Return the experiments of a task, preset or objective, which may go without its options."""
    if wanted is None:
        return list(experiments)
    values = {each: str(getattr(each, field)) for each in experiments}
    found = [each for each, value in values.items() if wanted == value]
    if not found and field == "objective":
        found = [each for each, value in values.items() if wanted == value.partition(" ")[0]]
    if not found:
        raise unknown_name(field, wanted, set(values.values()))
    return found
