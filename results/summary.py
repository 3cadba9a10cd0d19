"""What the records say, as text: a table and a sentence per experiment."""

from bench.paths import Home
from results import conclusion, fidelity, queries, store, tables


def summary(home: Home) -> str:
    """Return the results of everything collected, for a terminal.

    Raises:
        BenchError: If nothing has been collected.
    """
    parts = []
    with store.reading(home) as connection:
        for experiment in queries.experiments(connection):
            known = queries.fidelity(connection, experiment)
            parts += [
                experiment.title,
                tables.text(queries.scaling(connection, experiment)),
                *conclusion.conclusions(connection, experiment),
                fidelity.describe(known, experiment.task),
                "",
            ]
    return "\n".join(parts)
