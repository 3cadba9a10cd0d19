"""Published numbers in the terminal."""

import csv
import json

import pytest

from results.published.tables import every_table
from tests.conftest import Bench


def test_all_tables_are_listed(bench: Bench) -> None:
    done = bench("published")
    assert done.code == 0
    for table in every_table():
        assert table.name in done.out


def test_a_table_is_printed_with_where_it_is_from(bench: Bench) -> None:
    shown = bench("published", "geng2024-aircraft").out
    assert "retrieved" in shown
    assert "83.5" in shown
    assert "From Geng 2024, sections 4.1 and 4.2." in shown
    assert bench("published", "geng2024").out.startswith(shown.splitlines()[0])


@pytest.mark.parametrize("width", [80, 100, 40])
def test_every_table_fits_the_terminal(
    bench: Bench, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for name in (None, "tian2023", "geng2024", "stablerep", "superstablerep", "models"):
        for line in bench("published", *filter(None, [name])).out.splitlines():
            assert len(line) <= width, line


def test_formats_hold_the_same_numbers(bench: Bench) -> None:
    name = "synclr-table7"
    rows = list(csv.reader(bench("published", name, "--format", "csv").out.splitlines()))
    assert rows[-1] == ["SynCLR", "synthetic, 600M", "", "54.3", "57.7"]
    (table,) = json.loads(bench("published", name, "--format", "json").out)["published"]
    assert table["rows"][-1] == ["SynCLR", "synthetic, 600M", "", 54.3, 57.7]
    assert "| SynCLR | synthetic, 600M |  | 54.3 | 57.7 |" in (
        bench("published", name, "--format", "md").out
    )
    latex = bench("published", name, "--format", "latex").out
    assert "SynCLR & synthetic, 600M &  & 54.3 & 57.7 \\\\" in latex
    assert "\\label{tab:synclr-table7}" in latex


def test_wrong_requests_are_refused_in_a_line(bench: Bench) -> None:
    unknown = bench("published", "synclr-table66")
    assert unknown.code == 2
    assert "did you mean synclr-table6" in unknown.complaint
    several = bench("published", "tian2023", "--format", "csv")
    assert several.code == 2
    assert "ask for one of synclr-table2" in several.complaint
