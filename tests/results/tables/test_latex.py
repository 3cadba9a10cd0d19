"""The tables for papers go through TeX, whatever users call their things."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.paths import Home
from results.published.tables import every_table
from results.tables import export
from results.tables.formats import as_latex_file
from results.tables.latex import escape
from results.tables.literature import published_sheet
from results.tables.sheet import Sheet, one_line
from tests.support.many_records import write_many
from tests.support.records import write_run

PACKAGES = ("booktabs", "longtable", "siunitx", "array")

DOCUMENT = r"""\documentclass[10pt]{article}
\usepackage[textwidth=@in,textheight=9in]{geometry}
\usepackage{%s}
\begin{document}
\listoftables
\input{tables}
\end{document}
"""

HOSTILE = [
    r"\input{/etc/passwd}", r"\end{tabular}", "100% & more", "[12pt]", "* starred", "a^b_c~d#e$f",
    "{open", "closed}", "--`` ''--", "?`!`", '"quoted"', "a\tb", "<b>", "|", "飞机",
    "\N{AIRPLANE}\N{VARIATION SELECTOR-16}", "e\N{COMBINING ACUTE ACCENT}", "Ðð Þþ Łł ß Æ é",
    "\N{RIGHT-TO-LEFT OVERRIDE}x", "x" * 60, "two words " * 8, "± Δ † § — …",
    "\N{MINUS SIGN} \N{MULTIPLICATION SIGN} \N{EN DASH}", "\\", "^^M", "%", "\\\\[3pt]", "\x1b[31m",
    "1.5", "-", "+", "",
]  # fmt: skip


def compiled(text: str, folder: Path, width: float = 5.5) -> str:
    """Return TeX's log of tables in a text so many inches wide, of two runs; it must end well."""
    if not shutil.which("pdflatex"):
        pytest.skip("pdflatex is not installed")
    for package in PACKAGES:
        found = subprocess.run(["kpsewhich", f"{package}.sty"], capture_output=True, check=False)
        if found.returncode:
            pytest.skip(f"the LaTeX package {package} is not installed")
    (folder / "tables.tex").write_text(text, "utf-8")
    document = DOCUMENT.replace("@", f"{width}") % ",".join(PACKAGES)
    (folder / "main.tex").write_text(document, "utf-8")
    tex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "main"]
    for _ in range(2):
        done = subprocess.run(tex, cwd=folder, capture_output=True, check=False, timeout=100)
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-3000:]
    return (folder / "main.log").read_text("utf-8", errors="replace")


def check_layout(log: str) -> None:
    assert "Overfull \\hbox" not in log
    assert "too large" not in log
    assert "undefined" not in log.lower()
    assert "Missing character" not in log


def test_hostile_names_are_printed_and_nothing_else(tmp_path: Path) -> None:
    rows = [[name, "1k", name, "+1.5"] for name in HOSTILE]
    columns = [("images", "text"), ("n", "right"), ("p", "number"), ("%", "number")]
    sheet = Sheet.of(r"A \title & [more]", columns, rows)._replace(  # type: ignore[arg-type]
        note=" ".join(map(one_line, HOSTILE)), label="hostile"
    )
    text = as_latex_file([sheet])
    # A bracket in the short caption must not end it.
    assert r"\caption[{A \textbackslash{}title \& {[}more]}]{A " in text
    log = compiled(text, tmp_path)
    assert "Missing character" not in log
    if shutil.which("pdftotext"):
        subprocess.run(["pdftotext", "-layout", "main.pdf"], cwd=tmp_path, check=True)
        shown = (tmp_path / "main.txt").read_text("utf-8")
        assert "Table 1: A \\title & [more]. " in " ".join(shown.split())
        for name in (r"\input{/etc/passwd}", r"\end{tabular}", "100% & more", "[12pt]", "U+98DE"):
            assert name in shown


def test_tables_of_results_compile_within_the_page(home: Home, tmp_path: Path) -> None:
    write_many(home, tasks=2, runs=130, images=40)
    for table, width in (("main", 5.5), ("selection", 5.5), ("provenance", 6.875)):
        folder = tmp_path / table
        folder.mkdir()
        export(home, "latex", folder / "out", table=table)
        check_layout(compiled((folder / "out").read_text(), folder, width))


def test_long_names_of_arms_are_wrapped(home: Home, tmp_path: Path) -> None:
    write_run(home, "none", 0, right=70)
    long = "/a/a_folder_whose_name_has_sixty_letters_and_no_space_to_break_at"
    for path in (long, "/b/飞机", "/c/" + "飞机" * 20):
        write_run(home, "folder", 1_000, options={"path": path})
    export(home, "latex", tmp_path / "out")
    check_layout(compiled((tmp_path / "out").read_text(), tmp_path))


def test_published_tables_compile_within_the_page(tmp_path: Path) -> None:
    text = as_latex_file([published_sheet(table) for table in every_table()])
    check_layout(compiled(text, tmp_path, 6.875))


def test_no_two_tables_of_a_file_have_one_label() -> None:
    sheet = Sheet.of("One", [("a", "text")], [["b"]])._replace(label="one")
    text = as_latex_file([sheet, sheet, sheet._replace(label="two"), sheet])
    assert re.findall(r"\\label\{tab:(.*?)\}", text) == ["one", "one-2", "two", "one-3"]


def test_a_table_that_is_longer_than_a_page_continues() -> None:
    columns = [("a", "text"), ("b", "number")]
    rows = [[f"row {at}", "1.0"] for at in range(100)]
    text = as_latex_file([Sheet.of("Long", columns, rows)])  # type: ignore[arg-type]
    assert "\\begin{longtable}" in text
    assert "\\endhead" in text
    assert "\\begin{table}" not in text


@given(st.text(max_size=30))
def test_no_sign_keeps_a_meaning_for_tex(name: str) -> None:
    text = escape(one_line(name))
    text = re.sub(r"\\bychar\{[0-9A-F]{4,6}\}\{.\}", "", text)
    text = re.sub(r"\\[A-Za-z]+\{\}|\$\\(pm|times|Delta)\$|\$-\$|\\[&%$#_{}]|\\S\{\}", "", text)
    assert not re.search(r"[\\$%&#_^~\[*]", re.sub(r"\{[\[*`]\}", "", text))
    assert not re.search(r"--|''|[?!]`", text)
