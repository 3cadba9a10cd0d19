"""The sentences on what another seed changed."""

from itertools import product

import msgspec
import pytest

from bench.core.paths import Home
from bench.core.records import Counts
from bench.storage.run_folder import write_record
from results.conclusions.seeds import what_seeds_varied
from results.database import queries
from results.report.page import write_report
from results.summary import summary
from tests.support.records import STUDY, collected, write_run


def varied(home: Home) -> list[str]:
    with collected(home) as connection:
        return what_seeds_varied(queries.selected_runs(connection, STUDY))


def counts(used: int, kept: int, asked: int | None) -> Counts:
    return Counts(asked=asked, matched=900, fetched=900, kept=kept, used=used)


@pytest.mark.parametrize(
    ("used", "kept", "asked", "expected"),
    [
        (300, 600, 300, []),
        (535, 600, 535, []),
        (
            588, 600, 588,
            ["Retrieved images: at n = 588 a seed varied little but the order of training, as "
             "98.0 % of those kept are used."],
        ),
        (
            600, 600, None,
            ["Retrieved images: at n = 600 a seed varied only the order of training, as all that "
             "were kept are used."],
        ),
    ],
)  # fmt: skip
def test_using_all_images_leaves_a_seed_the_order_alone(
    home: Home, used: int, kept: int, asked: int | None, expected: list[str]
) -> None:
    for seed in (0, 1):
        record = write_run(home, "retrieved", asked, seed=seed)
        write_record(home, msgspec.structs.replace(record, n=counts(used, kept, asked)))
    assert varied(home) == expected


def test_one_seed_and_the_unadapted_model_vary_nothing(home: Home) -> None:
    write_run(home, "none", 0)
    write_run(home, "retrieved", 600, used=600)
    assert varied(home) == []


def test_seeds_of_the_source_are_other_images(home: Home) -> None:
    for seed in (0, 1):
        write_run(home, "synthetic", 600, seed=seed, options={"seed": seed})
        parts = {"options": {"synthetic": {"seed": seed}, "retrieved": {}}}
        write_run(home, "mixed", 600, seed=seed, options=parts)
    assert varied(home) == [
        f"{source} images: 2 seeds of the source, each with images of its own."
        for source in ("Mixed", "Synthetic")
    ]


def test_seeds_of_the_source_that_runs_share_are_said(home: Home) -> None:
    for seed, source_seed in product((0, 1), (0, 1)):
        write_run(home, "synthetic", 100, seed=seed, options={"seed": source_seed})
    assert varied(home) == [
        "Synthetic images: 2 seeds of the source, each with images of its own, in runs of several "
        "seeds: a test takes 3 of either kind."
    ]


def test_the_report_and_the_summary_say_it(home: Home) -> None:
    for seed in (0, 1):
        write_run(home, "retrieved", 600, seed=seed)
    (said,) = varied(home)
    shown = " ".join(summary(home).split())
    assert said in shown
    page = write_report(home, home.root / "out").html.read_text()
    assert said in page.replace("\N{NO-BREAK SPACE}", " ")
