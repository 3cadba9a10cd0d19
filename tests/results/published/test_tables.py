"""Published tables are whole, say where they are from, and agree with each other."""

from itertools import pairwise
from statistics import mean

import pytest

from bench.core.errors import RequestError
from results.published.beside import every_value
from results.published.tables import every_table, papers, tables
from tests.conftest import Bench


def cells(name: str) -> list[dict[str, str | float | int]]:
    (table,) = tables(name)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_every_table_is_whole_and_says_where_it_is_from() -> None:
    names = [table.name for table in every_table()]
    assert len(names) == len(set(names))
    assert not set(names) & set(papers()) - {"superstablerep"}
    for table in every_table():
        assert table.where
        assert {len(row) for row in table.rows} == {len(table.columns)}, table.name
        assert len(table.columns) == len(set(table.columns)), table.name


def test_all_tables_with_numbers_of_tian_2023_are_there() -> None:
    assert [table.name for table in tables("tian2023")] == [
        f"synclr-table{number}" for number in range(2, 11)
    ]


def test_averages_are_those_of_their_rows() -> None:
    for name, first in (("synclr-table6", "Aircraft"), ("synclr-table9", "EuroSAT")):
        for row in cells(name):
            columns = list(row)
            parts = [float(row[each]) for each in columns[columns.index(first) : -1]]
            assert mean(parts) == pytest.approx(float(row["Average"]), abs=0.0501), row


def test_the_row_called_synclr_is_that_of_stablerep() -> None:
    (captions,) = (row for row in cells("synclr-table2") if row["captions"] == "IN+OurBG+LLM")
    (objective,) = (row for row in cells("synclr-table5") if row["objective"] == "SynCLR")
    stablerep = [captions["StableRep ImageNet"], captions["StableRep mean of 9"]]
    assert [objective["ImageNet"], objective["mean of 9"]] == stablerep


def test_gains_are_those_of_the_accuracies() -> None:
    scores = {(row["images"], row["n"]): row["linear probe"] for row in cells("geng2024-aircraft")}
    numbers = {row["what"]: row["number"] for row in cells("geng2024-sizes")}
    for images in ("synthetic", "retrieved"):
        gain = float(scores[images, "250k"]) - float(scores["none (unadapted)", 0])
        assert float(numbers[f"gain by 250k {images} images in points"]) == pytest.approx(gain)
    assert 31_250 * 80 == 2_500_000


def test_better_captions_and_larger_networks_are_in_order() -> None:
    growing = [row["StableRep++, generated images"] for row in cells("stablerep-language")]
    assert all(float(one) < float(other) for one, other in pairwise(growing))


def test_what_stands_beside_curves_is_in_the_tables() -> None:
    known = {float(cell) for table in every_table() for row in table.rows for cell in row
             if not isinstance(cell, str)}  # fmt: skip
    assert every_value()
    for value in every_value():
        assert value.value in known or value.value == 73, value


def test_numbers_that_are_not_to_be_trusted_say_so(bench: Bench) -> None:
    shown = bench("published", "superstablerep").out
    assert "0.132" in shown
    assert "not trustworthy" in shown
    assert "366.5 and 409.5 images" in " ".join(shown.split())
    with pytest.raises(RequestError, match="did you mean superstablerep"):
        tables("superstable")
