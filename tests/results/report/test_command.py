"""`bench report` as it is called: watching, what could not be read, many runs."""

import json
import re
import signal
import subprocess
from pathlib import Path

import polars as pl
import pytest

from bench.core.paths import Home
from bench.storage.study_folder import Hold, StudyFolder, Submitted
from results.report import evidence
from results.report.page import write_report
from tests.conftest import command, environment
from tests.support.pages import content_of
from tests.support.records import STUDY, write_curves, write_run


def report(home: Home, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command."""
    return subprocess.run(
        command("report", *words), env=environment(home.root), capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def data_of(page: str) -> dict[str, dict[str, object]]:
    """Return what the page's scripts read."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found is not None
    sections: dict[str, dict[str, object]] = json.loads(found[1])["sections"]
    return sections


def test_a_record_that_cannot_be_read_is_named_and_the_code_says_so(home: Home) -> None:
    write_run(home, "retrieved", 100)
    broken = home.runs / "0123456789ab" / "record.json"
    broken.parent.mkdir()
    broken.write_text("{<b>")
    ended = report(home)
    assert ended.returncode == 3
    assert "0123456789ab" in ended.stderr
    page = content_of((home.report / "report.html").read_text())
    assert "0123456789ab" in page
    assert "<b>" not in page
    broken.unlink()
    assert report(home).returncode == 0


def test_the_same_records_give_the_same_bytes(home: Home, tmp_path: Path) -> None:
    write_run(home, "none", None, right=60)
    write_curves(home, retrieved={100: 80, 400: 160}, synthetic={100: 70, 1_600: 120})
    first, second = (write_report(home, tmp_path / name) for name in ("one", "two"))
    assert first.html.read_bytes() == second.html.read_bytes()
    plots = [paths.plots[STUDY] for paths in (first, second)]
    assert [path.read_bytes() for path in plots[0]] == [path.read_bytes() for path in plots[1]]


def test_too_many_runs_for_a_page_go_to_a_file(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_curves(home, retrieved={100: 80, 400: 160}, synthetic={100: 70, 400: 120})
    few = write_report(home, tmp_path).html.read_text()
    (section,) = data_of(few).values()
    assert len(section["runs"]) == 8  # type: ignore[arg-type]
    assert "runs.parquet" not in content_of(few)
    monkeypatch.setattr(evidence, "MOST_ROWS", 7)
    many = write_report(home, tmp_path).html.read_text()
    monkeypatch.undo()
    (section,) = data_of(many).values()
    assert section["runs"] == []
    assert 'href="runs.parquet"' in content_of(many)
    runs = pl.read_parquet(tmp_path / "runs.parquet")
    assert runs.height == 8
    assert {"command", "epoch", "timings", "setting", "test"} <= set(runs.columns)
    ids = section["ids"]
    assert isinstance(ids, dict)
    assert {run for some in ids.values() for run in some} == set(runs["run_id"])
    write_report(home, tmp_path)
    assert not (tmp_path / "runs.parquet").exists()


def test_each_number_has_its_runs_and_the_command_of_each(home: Home, tmp_path: Path) -> None:
    write_run(home, "none", None, right=60)
    write_curves(home, retrieved={100: 80, 400: 160}, synthetic={100: 70, 400: 120})
    page = write_report(home, tmp_path).html.read_text()
    (section,) = data_of(page).values()
    runs, curves = section["runs"], section["curves"]
    assert isinstance(runs, list)
    assert isinstance(curves, dict)
    points = [int(point) for point in re.findall(r'data-runs="e1 (\d+)"', page)]
    assert sorted(points) == list(range(len(curves["n"])))
    for point in points:
        label, n = curves["label"][point], curves["n"][point]
        behind = [run for run in runs if (run["label"], run["n"]) == (label, n)]
        assert len(behind) == curves["seeds"][point]
        assert all(curves["evaluator"][point] in run["scores"] for run in behind)


def test_watching_ends_with_the_studies(home: Home) -> None:
    """It writes anew while runs are to come, and once more without the page's reload."""
    first = write_run(home, "retrieved", 100)
    second = write_run(home, "synthetic", 100)
    hidden = home.root / "later"
    home.run(second.run_id).rename(hidden)
    runs = {first.run_id: "the first", second.run_id: "the second"}
    StudyFolder(home, "some").submit(Submitted(name="some", runs=runs, on="local"))
    watching = subprocess.Popen(
        command("report", "--watch", "1"), env=environment(home.root), text=True,
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    page = home.report / "report.html"
    try:
        assert watching.stderr is not None
        assert "1 records, 1 runs to come" in watching.stderr.readline()
        assert 'http-equiv="refresh" content="1"' in page.read_text()
        hidden.rename(home.run(second.run_id))
        said = watching.stderr.read()
        assert watching.wait(60) == 0
    finally:
        watching.kill()
    assert "2 records, 0 runs to come" in said
    assert 'http-equiv="refresh"' not in page.read_text()


def test_nothing_is_waited_for_that_failed_or_is_on_hold(home: Home, tmp_path: Path) -> None:
    done = write_run(home, "retrieved", 100)
    failed = write_run(home, "synthetic", 100, status="failed", error="full", scores=[])
    runs = {done.run_id: "done", failed.run_id: "failed", "0123456789ab": "to come"}
    study = StudyFolder(home, "some")
    study.submit(Submitted(name="some", runs=runs, on="local"))
    assert write_report(home, tmp_path).waiting == 1
    study.pause(Hold(by="user", reason="lunch"))
    assert write_report(home, tmp_path).waiting == 0


def test_a_file_of_ones_own_stays(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 100)
    own = tmp_path / "runs.parquet"
    own.write_text("mine")
    for _ in range(2):
        write_report(home, tmp_path)
        assert own.read_text() == "mine"


def test_ctrl_c_ends_watching_with_a_page_that_stays(home: Home) -> None:
    first = write_run(home, "retrieved", 100)
    runs = {first.run_id: "the first", "0123456789ab": "never"}
    StudyFolder(home, "some").submit(Submitted(name="some", runs=runs, on="local"))
    watching = subprocess.Popen(
        command("report", "--watch", "60"), env=environment(home.root), text=True,
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert watching.stderr is not None
        watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(180) == 0
    finally:
        watching.kill()
    assert 'http-equiv="refresh"' not in (home.report / "report.html").read_text()


def test_a_study_that_cannot_be_read_is_named_with_the_reason(home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 100)
    broken = home.root / "studies" / "torn" / "study.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    page = content_of(write_report(home, tmp_path).html.read_text())
    assert "Study torn cannot be read</h2>" in page
    assert "runs are missing" not in page


def test_the_summary_says_what_it_takes_back(home: Home, tmp_path: Path) -> None:
    """Few seeds are no test over seeds, and an exchange rate has its interval or a reason."""
    write_run(home, "none", None, right=60)
    write_curves(home, retrieved={100: 80, 400: 160}, synthetic={100: 70, 400: 120})
    page = content_of(write_report(home, tmp_path).html.read_text())
    summary = page.partition('id="summary"')[2].partition("</section>")[0]
    assert "<strong>retrieved, in these runs</strong>" in summary
    assert re.search(
        r"<td[^>]*>(not determined|no reliable gain|[\w. ]+ \([\w. ]+\))</td>", summary
    )


def test_other_arms_are_compared_with_each_other(home: Home, tmp_path: Path) -> None:
    for path, right in (("a", 80), ("b", 160)):
        for seed in range(3):
            write_run(home, "folder", 100, right=right, seed=seed, options={"path": path})
    page = content_of(write_report(home, tmp_path).html.read_text())
    assert "folder a less folder b" in page.partition("</section>")[0]
    assert "There are neither retrieved nor synthetic images to compare" in page


def test_an_empty_home_leaves_nothing(home: Home, tmp_path: Path) -> None:
    home.root.mkdir()
    ended = report(home, "--out", str(tmp_path / "new"))
    assert ended.returncode == 1
    assert "no records" in ended.stderr
    assert not (tmp_path / "new").exists()
