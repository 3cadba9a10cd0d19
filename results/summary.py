"""The results as text: a table and what follows from it, per experiment."""

from collections.abc import Iterable

from bench.core.paths import Home
from bench.core.terminal import escaped
from results import fidelity, tables
from results.conclusions.choices import choices
from results.conclusions.conclusion import conclusions, left_out
from results.conclusions.seeds import what_seeds_varied
from results.database import queries, store
from results.experiment import Experiment
from results.objectives import objectives
from results.tables.objectives import sheet
from results.tables.terminal import as_text
from results.wording import WIDTH, sentence, wrapped


def summary(
    home: Home,
    experiments: Iterable[Experiment] | None = None,
    width: int = WIDTH,
    *,
    brief: bool = False,
) -> str:
    """Return the results, for a terminal.

    Args:
        home: Where they were collected.
        experiments: What to show; None for everything there is.
        width: Columns that there are.
        brief: Whether to show only an experiment's headline.

    Raises:
        BenchError: If nothing has been collected.
    """
    parts = []
    with store.reading(home) as connection:
        shown = list(experiments or queries.experiments(connection))
        for experiment in shown:
            known = queries.fidelity(connection, experiment)
            sentences = [
                *conclusions(connection, experiment, brief=brief),
                *([] if brief else _seeds(connection, experiment)),
                sentence(fidelity.describe(known, experiment.task)),
                *([] if brief else choices(connection, experiment)),
                *filter(None, [left_out(connection, experiment)]),
            ]
            parts += [
                experiment.title,
                tables.text(queries.scaling(connection, experiment), width),
                *(wrapped(text, width, bullet="- ") for text in sentences),
                "",
            ]
        for table in objectives(connection, shown) if len(shown) > 1 else ():
            parts += [as_text(sheet(table), width), ""]
    return escaped("\n".join(parts))


def _seeds(connection: store.Connection, experiment: Experiment) -> list[str]:
    return what_seeds_varied(queries.selected_runs(connection, experiment))
