"""Every result as one file."""

from pathlib import Path

import polars as pl
import pytest

from bench.core.errors import RequestError
from bench.core.paths import Home
from results.tables import export
from tests.support.records import write_run


def test_exports_show_the_best_trained_epoch_and_the_last(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 1_000, right=150)  # Of an earlier version.
    write_run(home, "synthetic", 1_000, right=100, trained=70)
    for format_ in ("csv", "md"):
        export(home, format_, tmp_path / format_)
    synthetic = pl.read_csv(tmp_path / "csv").row(1, named=True)
    means = [synthetic[name] for name in ("mean", "trained_mean", "last_mean")]
    assert means == [0.5, 0.35, 0.35]
    table = (tmp_path / "md").read_text()
    assert "accuracy, best trained epoch | linear-probe accuracy, last epoch |" in table
    assert "| 50.0 [43.0, 57.0] | 35.0 | 35.0 |" in table
    assert "| 75.0 [68.0, 82.0] |  |  |" in table


def test_exports_read_back(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 1_000, right=150)
    for format_ in ("csv", "parquet", "md", "latex"):
        export(home, format_, tmp_path / format_)
    for format_ in ("md", "latex"):
        assert "generator fidelity: not measured" in (tmp_path / format_).read_text()
    for numbers in (pl.read_csv(tmp_path / "csv"), pl.read_parquet(tmp_path / "parquet")):
        assert numbers["mean"].to_list() == [0.75]
    assert "| retrieved | 1k | 1 | 75.0 [68.0, 82.0] |" in (tmp_path / "md").read_text()
    assert "retrieved & 1k & 1 & 75.0 [68.0, 82.0] \\\\" in (tmp_path / "latex").read_text()
    with pytest.raises(RequestError, match="did you mean csv"):
        export(home, "cvs", tmp_path / "cvs")


def test_any_name_is_one_cell(home: Home, tmp_path: Path) -> None:
    for path in ("/a/50 % <b>|$x_1$ \\&", "/b/two\nlines\x1b[31m"):
        write_run(home, "folder", 1_000, options={"path": path})
    export(home, "md", tmp_path / "md")
    export(home, "latex", tmp_path / "latex")
    rows = (tmp_path / "md").read_text().splitlines()
    assert r"50 % &lt;b>\|$x_1$ \\&" in rows[4]
    assert r"two lines\\x1b[31m |" in rows[5]
    text = (tmp_path / "latex").read_text()
    assert r"50 \% \textless{}b\textgreater{}\textbar{}\$x\_1\$ \textbackslash{}\&" in text
    assert r"two lines\textbackslash{}x1b[31m" in text
