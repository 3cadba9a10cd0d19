"""How often the report says that one arm beats the other, in studies whose truth is known."""

import numpy as np
import polars as pl
import pytest

from bench.core.paths import Home
from results.conclusions.conclusion import conclusions
from tests.support.records import STUDY, collected, predictions, write_run
from tests.support.simulated import CLASSES, IMAGES, LABELS, Truth, simulate

STUDIES = 30


def write_study(home: Home, model: str, truth: Truth, random: np.random.Generator) -> None:
    """Leave the runs of a simulated study, which the model's name tells apart from others."""
    for source, answers in zip(("retrieved", "synthetic"), simulate(truth, random), strict=True):
        for seed, right in enumerate(answers.T.astype(bool)):
            run = write_run(home, source, 500, seed=seed, model=model)
            pl.DataFrame(
                {
                    "evaluator": "linear-probe",
                    "split": "test",
                    "at_epoch": "chosen",
                    "key": [f"image-{index}" for index in range(IMAGES)],
                    "label": LABELS,
                    "predicted": np.where(right, LABELS, (LABELS + 1) % CLASSES),
                },
                schema=predictions(0, "linear-probe").schema,
            ).write_parquet(home.run(run.run_id) / "predictions.parquet")


def headlines(home: Home, truth: Truth) -> list[str]:
    """Return the first sentence on each of many studies."""
    random = np.random.default_rng(0)
    models = [f"clip-{index}" for index in range(STUDIES)]
    for model in models:
        write_study(home, model, truth, random)
    with collected(home) as connection:
        found = [conclusions(connection, STUDY._replace(model=model)) for model in models]
    return [sentences[0] for sentences in found]


@pytest.mark.slow(minutes=1)
def test_equal_arms_are_said_to_differ_in_few_studies(home: Home) -> None:
    """An interval over test images alone names a winner in a third of them."""
    said = headlines(home, Truth((3, 3), (2.8, 2.8)))
    assert sum(" beat " in sentence for sentence in said) <= 0.07 * STUDIES
    assert all(" beat " in one or "no significant difference" in one for one in said)


@pytest.mark.slow(minutes=1)
def test_the_better_arm_is_named(home: Home) -> None:
    said = headlines(home, Truth((5, 5), (1.0, 1.0), gap=6))
    assert sum("retrieved images beat synthetic ones by" in one for one in said) > 0.9 * STUDIES


@pytest.mark.slow(minutes=1)
def test_two_seeds_name_no_winner(home: Home) -> None:
    said = headlines(home, Truth((2, 2), (2.8, 2.8)))
    assert not any(" beat " in sentence for sentence in said)
    assert sum("higher than" in sentence for sentence in said) > 0.1 * STUDIES
    assert all("not tested over seeds" in sentence for sentence in said)
