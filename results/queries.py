"""Every question that is put to the database; the answers are data frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.core.json_values import Json
from bench.core.specs import RunSpec
from results.bootstrap import Estimate, metric_value, paired_bootstrap
from results.equivalence import UNADAPTED, Answers
from results.mcnemar import mcnemar
from results.rows import parse_json

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Kept in the database file, so that whoever opens it gets the selection and the means we show.
# `headline`: the metric that an experiment's latest run was selected by, and its `judged_by`: the
# fingerprints of the task and of the adapted model, which a name alone does not fix.
# `current`: the finished runs with the same fingerprints; no others are compared.
# `selected`: of the runs that differ only in hyper-parameters (learning rate, tau, batch size, any
# option of the source that is not in `variant`), the one with the best VALIDATION score in that
# metric; test scores play no part.
# The unadapted baseline (source `none`) had no objective, whatever its spec says.
# The second choice drops `--n all` where it is the same number of images as another run's n.
# `scaling`: the means of what was selected; `per-class` scores are `zero-shot` ones once more.
VIEWS = """
CREATE VIEW headline AS
SELECT preset, task, model,
       arg_max(coalesce((selection ->> 'metric'), 'accuracy'), (started, run_id)) AS metric,
       arg_max(judged_by, (started, run_id)) AS judged_by
FROM runs WHERE status = 'done' GROUP BY ALL;

CREATE VIEW current AS
SELECT runs.*, metric
FROM runs JOIN headline USING (preset, task, model, judged_by) WHERE status = 'done';

CREATE VIEW selected AS
WITH candidates AS (
    SELECT current.* REPLACE (if(source = 'none', '', objective) AS objective),
           TRY_CAST(current.selection ->> 'epoch' AS DOUBLE) AS epoch,
           test.evaluator, validation.value AS validation,
           test.value AS test, test.n AS test_images, test.ci_low, test.ci_high, test.chosen
    FROM current
    JOIN scores AS test USING (run_id, metric)
    LEFT JOIN scores AS validation ON validation.run_id = current.run_id
        AND validation.evaluator = test.evaluator AND validation.metric = test.metric
        AND validation.split = 'val'
    WHERE test.split = 'test'
), best AS (
    SELECT *, count(*) OVER rivals AS rivals FROM candidates
    WINDOW rivals AS (
        PARTITION BY preset, task, model, objective, source, variant, seed, evaluator, n_asked)
    QUALIFY row_number() OVER (rivals ORDER BY validation DESC NULLS LAST, run_id) = 1
)
SELECT * FROM best
QUALIFY row_number() OVER (
    PARTITION BY preset, task, model, objective, source, variant, seed, evaluator, n_used
    ORDER BY validation DESC NULLS LAST, run_id) = 1;

CREATE VIEW scaling AS
SELECT preset, task, model, objective, source, variant, label, evaluator, metric, n_used,
       count(*) AS seeds, avg(test) AS mean,
       min(test) AS seed_min, max(test) AS seed_max, stddev_samp(test) AS seed_std,
       avg(ci_low) AS test_low, avg(ci_high) AS test_high, max(test_images) AS test_images,
       max(n_kept) AS n_kept
FROM selected
WHERE evaluator <> 'per-class' OR run_id NOT IN (
    SELECT run_id FROM scores WHERE split_part(evaluator, ' ', 1) = 'zero-shot')
GROUP BY ALL;
"""


class Experiment(NamedTuple):
    """What one figure is about: everything that is not the images, their number or the seed."""

    preset: str
    task: str
    model: str
    objective: str

    @classmethod
    def of(cls, spec: RunSpec) -> Experiment:
        """Return the experiment that a run belongs to."""
        return cls(spec.preset, spec.task, spec.model, spec.objective)

    @property
    def title(self) -> str:
        """One line that tells experiments apart."""
        return f"{self.task} (preset {self.preset}, {PurePath(self.model).name}, {self.objective})"


@dataclass(frozen=True)
class Difference:
    """Arm a minus arm b on the same test images.

    Attributes:
        estimate: The mean over seeds, with its test-sampling interval.
        seed_differences: The difference at each seed that both arms have, or the adapted one where
            the other is the unadapted model; no interval.
        seeds: Seeds in each arm.
        mcnemar: McNemar's exact p-value at each of these seeds; none for draws' averages.
    """

    estimate: Estimate
    seed_differences: list[float]
    seeds: tuple[int, int]
    mcnemar: list[float]


def experiments(connection: DuckDBPyConnection) -> list[Experiment]:
    """Return the experiments that have a current run; a baseline alone belongs to every one."""
    rows = connection.execute("""
        SELECT DISTINCT preset, task, model, objective FROM current AS own
        WHERE source <> 'none' OR NOT EXISTS (
            FROM current AS other WHERE other.source <> 'none'
            AND (other.preset, other.task, other.model) = (own.preset, own.task, own.model))
        ORDER BY ALL""").fetchall()
    return [Experiment(*row) for row in rows]


def selected_runs(connection: DuckDBPyConnection, experiment: Experiment) -> pd.DataFrame:
    """Return, per label, n, seed and evaluator, the run that validation data chose.

    The unadapted baseline (source ``none``) is every objective's.
    """
    return connection.execute(
        """SELECT * FROM selected
        WHERE (preset, task, model) = ($preset, $task, $model)
        AND objective IN ($objective, '')
        ORDER BY source <> 'none', label, n_used, seed,
            regexp_replace(evaluator, '[0-9]+', '', 'g'), length(evaluator), evaluator""",
        experiment._asdict(),
    ).df()


def scaling(connection: DuckDBPyConnection, experiment: Experiment) -> pd.DataFrame:
    """Return the mean score per label, evaluator and number of images used.

    The spread over seeds (``seed_*``) and the interval for the choice of test images (``test_low``,
    ``test_high``, the mean of the runs' intervals) are two things, in columns of their own.
    """
    return connection.execute(
        """SELECT * FROM scaling
        WHERE (preset, task, model) = ($preset, $task, $model)
        AND objective IN ($objective, '')
        ORDER BY source <> 'none', label, n_used, evaluator""",
        experiment._asdict(),
    ).df()


def paired_difference(
    connection: DuckDBPyConnection,
    experiment: Experiment,
    evaluator: str,
    n: int,
    *,
    a: str = "retrieved",
    b: str = "synthetic",
) -> Difference | None:
    """Compare two labels image by image at one n; None where an arm left no predictions.

    The unadapted model (`UNADAPTED`), which has no n, may be compared with an arm at any.
    """
    wide, metric = _answers(connection, experiment, evaluator, [a, b], n)
    if wide.empty or set(wide.columns.get_level_values("arm")) != {a, b}:
        return None
    wide = wide.droplevel("n_used", axis="columns")
    labels = wide.index.get_level_values("class").to_numpy(np.int64)
    left, right = _arm(wide, a), _arm(wide, b)
    means = (left.mean(axis="columns") - right.mean(axis="columns")).to_numpy(np.float64)
    seeds = left.columns.intersection(right.columns)
    if UNADAPTED in (a, b):
        seeds = right.columns if a == UNADAPTED else left.columns
    pairs = [(_run(left, seed), _run(right, seed)) for seed in seeds]
    exact = [mcnemar(*pair) for pair in pairs]
    return Difference(
        estimate=paired_bootstrap(means, labels, metric),
        seed_differences=[metric_value(one - other, labels, metric) for one, other in pairs],
        seeds=(len(left.columns), len(right.columns)),
        mcnemar=[p for p in exact if p is not None],
    )


def _arm(wide: pd.DataFrame, arm: str) -> pd.DataFrame:
    return wide.loc[:, [arm]].droplevel("arm", axis="columns")


def _run(own: pd.DataFrame, seed: str) -> NDArray[np.float64]:
    """Return the answers of a seed's run; one run of the unadapted model serves every seed."""
    return own.get(seed, own.iloc[:, 0]).to_numpy(np.float64)


def scaling_answers(
    connection: DuckDBPyConnection,
    experiment: Experiment,
    evaluator: str,
    *,
    a: str = "retrieved",
    b: str = "synthetic",
) -> Answers | None:
    """Return what two labels' runs, and the unadapted model, answered to the test images.

    None where an arm left no predictions, or no image was put to all runs.
    """
    wide, metric = _answers(connection, experiment, evaluator, [a, b, UNADAPTED])
    arms, sizes, seeds = (wide.columns.get_level_values(level) for level in range(3))
    if wide.empty or not {a, b} <= set(arms):
        return None
    return Answers(
        correct=wide.to_numpy(np.float64),
        labels=wide.index.get_level_values("class").to_numpy(np.int64),
        arm=arms.to_numpy(np.str_),
        n=sizes.to_numpy(np.int64),
        seed=seeds.to_numpy(np.int64),
        metric=metric,
    )


def _answers(
    connection: DuckDBPyConnection,
    experiment: Experiment,
    evaluator: str,
    arms: list[str],
    n: int | None = None,
) -> tuple[pd.DataFrame, str]:
    """Return who was right about which test image, and the metric.

    A row is an image that all runs were asked (its key and class), a column a selected run (its
    label, n and seed), of one n or of all.
    """
    answers = connection.execute(
        """SELECT selected.label AS arm, metric, n_used, seed, key, predictions.label AS class,
               (class = predicted)::DOUBLE AS correct
        FROM predictions JOIN selected USING (run_id, evaluator)
        WHERE (preset, task, model) = ($preset, $task, $model) AND objective IN ($objective, '')
        AND (evaluator, split) = ($evaluator, 'test')
        AND (n_used = coalesce($n, n_used) OR source = 'none')
        AND list_contains($arms, arm)""",
        experiment._asdict() | {"evaluator": evaluator, "n": n, "arms": arms},
    ).df()
    wide = answers.pivot_table(
        index=["key", "class"], columns=["arm", "n_used", "seed"], values="correct"
    )
    return wide.dropna(), next(iter(answers["metric"]), "")


def class_accuracies(
    connection: DuckDBPyConnection, experiment: Experiment, evaluator: str
) -> pd.DataFrame:
    """Return the mean accuracy over seeds per label, n and class (an index), with its images."""
    return connection.execute(
        """SELECT selected.label AS arm, n_used, predictions.label AS class,
                  avg((class = predicted)::DOUBLE) AS accuracy, count(DISTINCT key) AS images
        FROM predictions JOIN selected USING (run_id, evaluator)
        WHERE (preset, task, model) = ($preset, $task, $model) AND objective IN ($objective, '')
        AND (evaluator, split) = ($evaluator, 'test')
        GROUP BY ALL ORDER BY ALL""",
        experiment._asdict() | {"evaluator": evaluator},
    ).df()


def holes(connection: DuckDBPyConnection, experiment: Experiment) -> pd.DataFrame:
    """Return the combinations of label, n and seed without a current run, and why.

    Every label of the experiment is expected at every n and seed that any of them was asked for.
    """
    return connection.execute(
        """WITH own AS (
            SELECT *, run_id IN (SELECT run_id FROM current) AS current
            FROM runs WHERE source <> 'none'
            AND (preset, task, model, objective) = ($preset, $task, $model, $objective)
        )
        SELECT label, n_asked, seed,
               coalesce(any_value(own.error) FILTER (status = 'failed'), '') AS error,
               any_value(kept) AS kept
        FROM (SELECT label, max(n_kept) AS kept FROM own GROUP BY label)
        CROSS JOIN (SELECT DISTINCT n_asked FROM own WHERE n_asked IS NOT NULL)
        CROSS JOIN (SELECT DISTINCT seed FROM own)
        LEFT JOIN own USING (label, n_asked, seed)
        GROUP BY label, n_asked, seed
        HAVING count(*) FILTER (own.current) = 0
        ORDER BY label, n_asked, seed""",
        experiment._asdict(),
    ).df()


def stage_counts(connection: DuckDBPyConnection, experiment: Experiment) -> pd.DataFrame:
    """Return what each source was asked for and what was left after each step, at its largest n."""
    return connection.execute(
        """SELECT label, n_asked, n_matched, n_fetched, n_kept, n_used, image_set FROM selected
        WHERE (preset, task, model, objective) = ($preset, $task, $model, $objective)
        QUALIFY row_number() OVER (PARTITION BY label ORDER BY n_used DESC, seed, run_id) = 1
        ORDER BY label""",
        experiment._asdict(),
    ).df()


def image_sets(connection: DuckDBPyConnection, experiment: Experiment) -> pd.DataFrame:
    """Return which sets of images (``label``, ``source``, ``image_set``) the selected runs used."""
    return connection.execute(
        """SELECT DISTINCT label, source, image_set FROM selected
        WHERE (preset, task, model, objective) = ($preset, $task, $model, $objective)
        ORDER BY ALL""",
        experiment._asdict(),
    ).df()


def fidelity(connection: DuckDBPyConnection, experiment: Experiment) -> Json:
    """Return the measured fidelity of the generator, as its latest run recorded it."""
    row = connection.execute(
        """SELECT fidelity FROM current
        WHERE (preset, task, model) = ($preset, $task, $model)
        AND fidelity::VARCHAR <> '{}'
        ORDER BY source = 'synthetic' DESC, started DESC, run_id LIMIT 1""",
        {name: value for name, value in experiment._asdict().items() if name != "objective"},
    ).fetchone()
    return parse_json(row[0]) if row else {}


def outdated(connection: DuckDBPyConnection, experiment: Experiment) -> int:
    """Return how many finished runs are left out, for their task's or model's fingerprint."""
    row = connection.execute(
        """SELECT count(*) FROM runs
        WHERE (preset, task, model) = ($preset, $task, $model) AND status = 'done'
        AND run_id NOT IN (SELECT run_id FROM current)""",
        {name: value for name, value in experiment._asdict().items() if name != "objective"},
    ).fetchone()
    return int(row[0]) if row else 0


def failures(connection: DuckDBPyConnection) -> pd.DataFrame:
    """Return the failed runs, with their errors."""
    return connection.execute(
        """SELECT run_id, preset, task, source, n_asked, seed, error FROM runs
        WHERE status = 'failed' ORDER BY ALL"""
    ).df()


def finished(connection: DuckDBPyConnection) -> set[str]:
    """Return the ids of the runs that are done."""
    rows = connection.execute("SELECT run_id FROM runs WHERE status = 'done'").fetchall()
    return {str(run_id) for (run_id,) in rows}


def provenance(connection: DuckDBPyConnection) -> pd.DataFrame:
    """Return which code, weights and machine made how many finished runs."""
    return connection.execute(
        """SELECT git_commit, git_dirty, device, weights, versions, count(*) AS runs,
                  min(started) AS first, max(finished) AS last
        FROM runs WHERE status = 'done' GROUP BY ALL ORDER BY last DESC"""
    ).df()
