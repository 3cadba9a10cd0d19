"""Two arms or two runs side by side, in the terminal."""

from pathlib import Path

import pytest

from bench.core.paths import Home
from tests.conftest import Bench
from tests.support.records import score, write_run


@pytest.fixture
def study(home: Home) -> Home:
    """Three seeds of two arms at two n, and the unadapted model."""
    write_run(home, "none", 0, right=70)
    for seed in range(3):
        for n in (500, 1_000):
            write_run(home, "retrieved", n, right=90 + n // 25 + seed, seed=seed,
                      options={"filter": {"tau": 0.2}, "seed": seed})  # fmt: skip
            write_run(home, "synthetic", n, right=80 + n // 50 + seed, seed=seed, lr=1e-4)
    return home


def rows(bench: Bench, *words: str) -> list[dict[str, object]]:
    (comparison,) = bench("compare", *words, "--json").json["comparisons"]
    found: list[dict[str, object]] = comparison["rows"]
    return found


def test_arms_are_compared_at_every_n(bench: Bench, study: Home) -> None:
    for row, n, right in zip(
        rows(bench, "retrieved", "synthetic"), (500, 1_000), ((111, 91), (131, 101)), strict=True
    ):
        assert row["n"] == [n]
        assert row["scores"] == pytest.approx([each / 200 for each in right])
        difference = row["difference"]
        assert isinstance(difference, dict)
        assert difference["value"] == pytest.approx((right[0] - right[1]) / 200)
        assert difference["low"] < difference["value"] < difference["high"]
        assert difference["over_seeds"]
        assert row["p_holm"] >= difference["p"]
        assert row["mcnemar"]


def test_the_other_order_has_the_other_sign(bench: Bench, study: Home) -> None:
    one, other = (rows(bench, *pair)[0]["difference"] for pair in (
        ("retrieved", "synthetic"), ("synthetic", "retrieved"),
    ))  # fmt: skip
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    assert other["value"] == pytest.approx(-one["value"])
    assert [other["low"], other["high"]] == pytest.approx([-one["high"], -one["low"]])
    assert other["p"] == one["p"]


def test_the_unadapted_model_is_compared_at_each_n_of_the_other(bench: Bench, study: Home) -> None:
    for name in ("none", "unadapted"):
        found = rows(bench, name, "retrieved")
        assert [row["n"] for row in found] == [[500], [1_000]]
        assert [row["scores"] for row in found] == [
            pytest.approx([0.35, 0.555]), pytest.approx([0.35, 0.655]),
        ]  # fmt: skip


def test_what_is_shown_fits_eighty_columns(
    bench: Bench, study: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = bench("compare", "retrieved", "synthetic")
    assert done.code == 0
    assert all(len(line) <= 80 for line in done.out.splitlines())
    words = " ".join(done.out.split())
    assert "mini-aircraft (preset mini, mini-clip, ce), accuracy: retrieved less synthetic" in words
    assert "a data-equivalence ratio of" in words
    assert "source.filter.tau 0.2 -" in words
    assert "train.lr 0.00001 0.0001" in words
    assert "source.seed" not in words


def test_runs_are_compared_by_the_beginnings_of_their_ids(bench: Bench, home: Home) -> None:
    scores = [score("val", 0.5), score("test", 0.5), score("test", 0.45, metric="mean-per-class")]
    a = write_run(home, "retrieved", 500, right=100, scores=scores).run_id
    b = write_run(home, "synthetic", 1_000, right=80, scores=scores).run_id
    accuracy, per_class = rows(bench, a[:6], b[:6])
    assert (accuracy["metric"], per_class["metric"]) == ("accuracy", "mean-per-class")
    assert accuracy["n"] == [500, 1_000]
    assert accuracy["difference"]["value"] == pytest.approx(0.1)  # type: ignore[index]
    assert not accuracy["difference"]["over_seeds"]  # type: ignore[index]
    # All 20 images that one alone got right are a's: 2 * 0.5 ** 20.
    assert accuracy["mcnemar"] == pytest.approx([2 * 0.5**20])
    assert per_class["mcnemar"] == []
    words = " ".join(bench("compare", a, b).out.split())
    assert "source retrieved synthetic n 500 1000" in words


def test_runs_without_predictions_have_scores_alone(bench: Bench, home: Home) -> None:
    ids = [write_run(home, "retrieved", 500, right=100, seed=seed).run_id for seed in (0, 1)]
    (home.run(ids[0]) / "predictions.parquet").unlink()
    (row,) = rows(bench, *ids)
    assert row["scores"] == [0.5, 0.5]
    assert row["difference"] is None
    assert "differences have no interval" in " ".join(bench("compare", *ids).out.split())


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("retreived", "synthetic"), "did you mean retrieved?"),
        (("foo", "bar"), "unknown arm or run 'foo'"),
        (("retrieved", "retrieved"), "name two"),
        (("retrieved", "synthetic", "--task", "mini-aircarft"), "did you mean mini-aircraft?"),
        (("retrieved", "synthetic", "--preset", "papr"), "unknown preset 'papr'"),
        (("retrieved", "synthetic", "--objective", "simclr"), "unknown objective 'simclr'"),
    ],
)
def test_wrong_requests_are_refused_in_a_line(
    bench: Bench, study: Home, words: tuple[str, ...], complaint: str
) -> None:
    done = bench("compare", *words)
    assert done.code == 2
    assert complaint in done.complaint


def test_arms_that_never_met_are_said_to(bench: Bench, study: Home) -> None:
    write_run(study, "mixed", 500, task="mini-cars")
    done = bench("compare", "mixed", "retrieved")
    assert done.code == 2
    assert "no experiment has both mixed and retrieved" in done.complaint


def test_runs_of_two_tasks_are_refused(bench: Bench, home: Home) -> None:
    ids = [write_run(home, "retrieved", 500, task=task).run_id for task in ("one", "two")]
    assert "compare runs of one task" in bench("compare", *ids).complaint


def test_a_run_that_failed_is_refused_with_its_error(bench: Bench, home: Home) -> None:
    done = write_run(home, "retrieved", 500)
    failed = write_run(home, "synthetic", 500, status="failed", error="out of memory")
    assert (
        "is not finished: out of memory" in bench("compare", done.run_id, failed.run_id).complaint
    )


def test_names_of_users_are_escaped(bench: Bench, home: Home, tmp_path: Path) -> None:
    write_run(home, "retrieved", 500)
    for path in ("/a/\x1b[31mred", "/b/飞机" + "x" * 60):
        write_run(home, "folder", 500, options={"path": path})
    for other in ("folder \x1b[31mred", "folder 飞机" + "x" * 60):
        done = bench("compare", "retrieved", other)
        assert done.code == 0
        assert "\x1b" not in done.out


def test_a_record_that_cannot_be_read_is_named(bench: Bench, study: Home) -> None:
    (study.runs / "broken").mkdir()
    (study.runs / "broken" / "record.json").write_text("{")
    for words in (
        ("compare", "retrieved", "synthetic"),
        ("export", "--out", str(study.root / "x")),
    ):
        done = bench(*words)
        assert done.code == 3
        assert "broken" in done.err
        assert done.out


def test_one_metric_is_said_once(bench: Bench, study: Home) -> None:
    shown = bench("compare", "retrieved", "synthetic").out
    assert "(preset mini, mini-clip, ce), accuracy: retrieved less synthetic" in shown
    assert shown.partition("Intervals")[0].count("accuracy") == 1


def test_several_metrics_are_said_in_every_row(bench: Bench, home: Home) -> None:
    scores = [score("val", 0.5), score("test", 0.5), score("test", 0.45, metric="mean-per-class")]
    a, b = (write_run(home, name, 500, scores=scores).run_id for name in ("real", "synthetic"))
    shown = bench("compare", a, b).out
    assert "linear-probe accuracy" in shown
    assert "linear-probe mean-per-class" in shown
