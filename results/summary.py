"""What the records say, as text: a table and a sentence per experiment."""

from collections.abc import Iterable

from bench.paths import Home
from results import conclusion, fidelity, queries, store, tables
from results.queries import Experiment


def summary(home: Home, experiments: Iterable[Experiment] | None = None) -> str:
    """Return the results, for a terminal.

    Args:
        home: Where they were collected.
        experiments: What to show; None for everything there is.

    Raises:
        BenchError: If nothing has been collected.
    """
    parts = []
    with store.reading(home) as connection:
        for experiment in experiments or queries.experiments(connection):
            known = queries.fidelity(connection, experiment)
            parts += [
                experiment.title,
                tables.text(queries.scaling(connection, experiment)),
                *conclusion.conclusions(connection, experiment),
                fidelity.describe(known, experiment.task),
                *filter(None, [conclusion.left_out(connection, experiment)]),
                "",
            ]
    return "\n".join(parts)
