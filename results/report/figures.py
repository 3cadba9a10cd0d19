"""The figures of an experiment, drawn for the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from bench.core.errors import RequestError
from bench.core.paths import Home
from results.experiment import Experiment
from results.figures import figure

if TYPE_CHECKING:
    from results.database.store import Connection

_OF_EACH = ("scaling", "gap")
"""Drawn of every evaluator."""

_OF_FIRST = ("classes", "equivalence", "fit", "mixing", "cost")
"""Drawn of the first evaluator; the others are one command away."""

_OF_ALL = ("yields", "samples")


class Shown(NamedTuple):
    """A figure on the page.

    Attributes:
        name: That of ``bench figure``.
        evaluator: What it is of; empty for a figure that is of none.
        svg: An ``svg`` element.
        caption: What stands below it.
    """

    name: str
    evaluator: str
    svg: str
    caption: str

    @property
    def head(self) -> str:
        """The caption's first sentence: what is shown."""
        return self.caption[: self._end]

    @property
    def more(self) -> str:
        """The rest of the caption: how to read the figure."""
        return self.caption[self._end :].strip()

    @property
    def _end(self) -> int:
        return self.caption.find(". ") + 1 or len(self.caption)


def shown(
    home: Home, connection: Connection, experiment: Experiment, evaluators: list[str]
) -> Iterator[Shown]:
    """Yield the figures for which an experiment has something to draw.

    Args:
        home: Where records and images are.
        connection: The database.
        experiment: What they are of.
        evaluators: Its evaluators, in order.
    """
    # Matplotlib takes a second to import; whoever only asks for help need not wait for it.
    from results.drawing.inline import inline_svg
    from results.drawing.look import LOOKS
    from results.drawing.wanted import Wanted

    wanted = [(name, one) for name in _OF_EACH for one in evaluators]
    wanted += [(name, one) for name in _OF_FIRST for one in evaluators[:1]]
    wanted += [(name, "") for name in _OF_ALL]
    for name, evaluator in wanted:
        of = (evaluator,) if evaluator else ()
        asked = Wanted(home, connection, experiment, LOOKS["report"], of)
        try:
            drawn = figure(name)(asked)
        except RequestError:
            continue  # There is nothing of that kind to draw.
        yield Shown(name, evaluator, inline_svg(drawn), drawn.caption)
