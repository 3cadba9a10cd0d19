"""Results for whoever goes on in Python."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from bench.core.errors import unknown_name
from bench.core.paths import Home
from bench.planning.study import load_study
from bench.storage.study_folder import StudyFolder, names
from results.database import queries, store

if TYPE_CHECKING:
    import pandas as pd

    from results.database.store import Choice


def load(
    study: str | Path | None = None,
    *,
    home: str | Path | None = None,
    settings: Choice = "once",
) -> pd.DataFrame:
    """Return a study's results, a row per run and score.

    Columns: the run (``run_id``, ``status``, ``preset``, ``task``, ``model``, ``objective``,
    ``source``, ``label``, ``setting``, ``n_asked``, ``n_used``, ``n_kept``, ``seed``,
    ``source_seeds``, ``lr``, ``epochs``, ``batch_size``); ``is_selected``, whether validation data
    chose its setting and it is in the report; the score (``evaluator``, ``split``, ``at_epoch``,
    ``metric``, ``value`` with its 95 % interval ``ci_low`` to ``ci_high`` over ``images``); and
    ``device``, ``started``, ``finished``, ``error``. Values are shares. A run without scores has
    one row. `bench query --tables` says more.

    Args:
        study: The study's name or file; None for everything that has run.
        home: The home folder; None for that of the environment (``$BENCH_HOME``).
        settings: How often the setting of an arm is chosen: ``once`` for all n, or ``per-n``.

    Raises:
        RequestError: If the study was never started, or its file cannot be read.
        BenchError: If there is no record.

    Warns:
        UserWarning: For every file that cannot be read, and is left out.
    """
    at = Home.from_environment() if home is None else Home(Path(home).absolute())
    run_ids = None if study is None else list(_study(at, study).submitted().runs)
    with tempfile.TemporaryDirectory() as spare:
        collected = store.collect(at, settings, Path(spare))
        for reason in collected.skipped:
            warnings.warn(f"skipped {reason}", stacklevel=3)
        with collected.reading() as connection:
            return queries.tidy(connection, run_ids)


def _study(home: Home, study: str | Path) -> StudyFolder:
    name = load_study(Path(study)).name if Path(study).suffix == ".yaml" else str(study)
    if name not in names(home):
        raise unknown_name("study", name, names(home))
    return StudyFolder(home, name)
