"""Which classes gained and lost most."""

from pathlib import Path

import numpy as np
import polars as pl

from bench.core.paths import Home
from results.conclusions.classes import gains, sentences
from results.report.page import write_report
from tests.support.records import STUDY, collected, write_run


def test_classes_that_gained_and_lost(home: Home, tmp_path: Path) -> None:
    """The first 70 images are right unadapted; here a run knows all of class 2 and no other."""
    write_run(home, "none", 0, right=70)
    for n in (500, 1_000):
        write_run(home, "retrieved", n, right=95)
    spoilt = write_run(home, "real", 2_000)
    path = home.run(spoilt.run_id) / "predictions.parquet"
    pl.read_parquet(path, glob=False).with_columns(predicted=pl.lit(2)).write_parquet(path)
    with collected(home) as connection:
        table = gains(connection, STUDY, "linear-probe")
        (sentence,) = (
            text for text in sentences(connection, STUDY, ["linear-probe"]) if "real" in text
        )
    real = table[table["arm"] == "real"].set_index("class")
    # Images 0 to 69 are right unadapted: 18, 18, 17 and 17 of 50 in each class.
    np.testing.assert_allclose(real["gain"].loc[[0, 1, 2, 3]], [-0.36, -0.36, 0.66, -0.34])
    assert "1 of 4 classes gained, most of all MD-80 +66.0 (of 50 images)" in sentence
    assert "3 of 4 classes lost, most of all" in sentence
    assert set(table.loc[table["arm"] == "retrieved", "n_used"]) == {1_000}
    page = write_report(home, tmp_path / "out").html.read_text()
    assert sentence in page.replace("&#43;", "+")
