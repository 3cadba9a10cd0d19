"""Every question that is put to the database; the answers are data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pandas as pd

from bench.core.json_values import Json
from bench.core.records import AtEpoch
from bench.core.specs import RunSpec
from results.database.rows import parse_json
from results.database.statements import statement
from results.experiment import Experiment

if TYPE_CHECKING:
    from results.database.store import Connection


def experiments(connection: Connection) -> list[Experiment]:
    """Return the experiments that have a current run; a baseline alone belongs to every one."""
    rows = connection.execute(statement("experiments")).fetchall()
    return [Experiment(*row) for row in rows]


def selected_runs(connection: Connection, experiment: Experiment) -> pd.DataFrame:
    """Return, per label, n, replicate and evaluator, the run of the setting that was chosen.

    The unadapted baseline (source ``none``) is every objective's.
    """
    return _frame(connection, "selected_runs", experiment)


def settings(connection: Connection, experiment: Experiment) -> pd.DataFrame:
    """Return every setting of each label, what it was compared by, and which was chosen.

    Columns: ``label``; ``selector``, JSON of the evaluator that selected, with its options; ``n``,
    empty where one setting is chosen for all; ``setting``, JSON of what
    differs within the label; ``select_by``; ``competes``, whether it was answered in as many cells
    (an n asked and a replicate) as any, and how many do (``candidates``); ``cells_answered`` of
    ``cells_asked``; the mean ``validation`` score over the ``cells_compared`` that all competitors
    finished; ``is_chosen``.
    """
    return _frame(connection, "settings", experiment)


def task_place(connection: Connection, task: str) -> str:
    """Return the name, or the folder, by which a task can be found."""
    row = connection.execute(statement("task_place"), {"task": task}).fetchone()
    return str(row[0]) if row else task


def task_name(connection: Connection, place: str) -> str:
    """Return what a task is called that a run knows by a name or a folder."""
    row = connection.execute(statement("task_name"), {"place": place}).fetchone()
    return str(row[0]) if row else place


def settings_rule(connection: Connection) -> str:
    """Return how often the setting of an arm was chosen: ``once`` or ``per-n``."""
    row = connection.execute(statement("settings_rule")).fetchone()
    return str(row[0]) if row else ""


def scaling(connection: Connection, experiment: Experiment) -> pd.DataFrame:
    """Return the mean score per label, evaluator and n asked (``n_asked``; none for ``all``).

    ``n_used`` is the mean number of images used, from ``n_used_min`` to ``n_used_max``. The spread
    over seeds (``seed_*``) and the interval for the choice of test images (``test_low``,
    ``test_high``, the mean of the runs' intervals) are two things, in columns of their own.
    """
    return _frame(connection, "scaling", experiment)


def answers(
    connection: Connection,
    experiment: Experiment,
    evaluator: str,
    arms: list[str],
    n: int | None = None,
    at_epoch: AtEpoch = "chosen",
) -> tuple[pd.DataFrame, str]:
    """Return who was right about which test image, and the metric.

    A row is an image that all runs answered (its ``key`` and ``class``), a column a selected run
    (its label as ``arm``, ``n_used``, ``seed``, ``run_seed`` and ``source_seeds``), of one n or of
    all. They are answers at the chosen epoch or at the best trained one; the unadapted model has
    but one. As in `scaling`, ``n_used`` is the n asked for, and for ``all`` the mean number used;
    ``seed`` is the number of the replicate, which is a seed of the run and those of its source.
    """
    asked = {"evaluator": evaluator, "arms": arms, "n": n, "at_epoch": at_epoch}
    long = _frame(connection, "answers", experiment, **asked)
    run = ["arm", "n_used", "seed", "run_seed", "source_seeds"]
    by_run = long.pivot_table(index=["key", "class"], columns=run, values="correct")
    return by_run.dropna(), next(iter(long["metric"]), "")


def class_accuracies(
    connection: Connection, experiment: Experiment, evaluator: str
) -> pd.DataFrame:
    """Return the mean accuracy over seeds per label, n and class (an index), with its images."""
    return _frame(connection, "class_accuracies", experiment, evaluator=evaluator)


def missing_runs(connection: Connection, experiment: Experiment) -> pd.DataFrame:
    """Return the combinations of label, n and seed without a run of the chosen setting, and why.

    Every label of the experiment is expected at every seed of an n that any was asked for there.
    ``of_another_setting`` says whether there is a run that was not chosen.
    """
    return _frame(connection, "missing_runs", experiment)


def image_counts(connection: Connection, experiment: Experiment) -> pd.DataFrame:
    """Return what each source was asked for and what was left after each step, at its largest n."""
    return _frame(connection, "image_counts", experiment)


def empty_classes(connection: Connection, experiment: Experiment) -> pd.DataFrame:
    """Return per label and n which classes (``names``) had no image, at the seed of most."""
    return _frame(connection, "empty_classes", experiment)


def scores_of_classes(connection: Connection, experiment: Experiment) -> pd.DataFrame:
    """Return means over seeds, apart for classes ``seen`` and ``unseen`` in training.

    A row is a label, n and evaluator; runs that had images of all classes are in none. Intervals
    and ``seeds`` are as those of `scaling`, with the most images of a run.
    """
    return _frame(connection, "scores_of_classes", experiment)


def small_groups(connection: Connection, experiment: Experiment) -> pd.DataFrame:
    """Return per label and n asked for how many of the images were left out, at the seed of most.

    They were, as groups of theirs were too small for the objective.
    """
    return _frame(connection, "small_groups", experiment)


def image_sets(connection: Connection, experiment: Experiment) -> pd.DataFrame:
    """Return which sets of images (``label``, ``source``, ``image_set``) the selected runs used."""
    return _frame(connection, "image_sets", experiment)


def source_seconds(connection: Connection) -> dict[str, float]:
    """Return, per set of images, the seconds that its longest source step took.

    That is of the run that made the images; others found them there.
    """
    rows = connection.execute(statement("source_seconds")).fetchall()
    return {str(images): float(seconds or 0) for images, seconds in rows}


def fidelity(connection: Connection, experiment: Experiment) -> Json:
    """Return the measured fidelity of the generator, as its latest run recorded it."""
    row = connection.execute(statement("fidelity"), _any_objective(experiment)).fetchone()
    return parse_json(row[0]) if row else {}


def count_outdated(connection: Connection, experiment: Experiment) -> int:
    """Return how many finished runs are left out, for their task's or model's fingerprint."""
    row = connection.execute(statement("count_outdated"), _any_objective(experiment)).fetchone()
    return int(row[0]) if row else 0


def specs(connection: Connection, experiment: Experiment) -> dict[str, RunSpec]:
    """Return the specs of the selected runs by their ids, the unadapted model's too."""
    rows = connection.execute(statement("run_specs"), experiment._asdict()).fetchall()
    shared = {text: msgspec.json.decode(text, type=RunSpec) for *_, text in rows}
    return {
        str(run_id): msgspec.structs.replace(shared[text], n=n, seed=seed)
        for run_id, n, seed, text in rows
    }


def failures(connection: Connection) -> pd.DataFrame:
    """Return the failed runs, with their errors, but those that asked for too many images."""
    return connection.execute(statement("failures")).df()


def pool_ends(connection: Connection) -> pd.DataFrame:
    """Return at which task, source and n how many runs asked for more images than there are."""
    return connection.execute(statement("pool_ends")).df()


def settled(connection: Connection) -> set[str]:
    """Return the ids of the runs that are done, or asked for more images than there are."""
    rows = connection.execute(statement("settled")).fetchall()
    return {str(run_id) for (run_id,) in rows}


def provenance(connection: Connection) -> pd.DataFrame:
    """Return which code, weights and machine made how many finished runs."""
    return connection.execute(statement("provenance")).df()


def tidy(connection: Connection, run_ids: list[str] | None = None) -> pd.DataFrame:
    """Return a row per run and score, of some runs or all; a run without scores has one row."""
    return connection.execute(statement("tidy"), {"run_ids": run_ids}).df()


def _frame(
    connection: Connection, name: str, experiment: Experiment, **parameters: object
) -> pd.DataFrame:
    return connection.execute(statement(name), experiment._asdict() | parameters).df()


def _any_objective(experiment: Experiment) -> dict[str, str]:
    # DuckDB refuses a parameter that a statement does not mention.
    return {name: value for name, value in experiment._asdict().items() if name != "objective"}
