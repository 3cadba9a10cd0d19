"""A setting is chosen once per arm, by validation data over all n and seeds; never per seed."""

from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.core.config import paths
from bench.core.json_values import Json, canonical_json
from bench.core.paths import Home
from bench.core.specs import TrainSpec
from bench.plugins.registries import options_type, sources
from results import tables
from results.conclusions.choices import choices, named
from results.conclusions.conclusion import conclusions
from results.database import queries, store
from results.database.store import Choice
from results.figures._scaling_caption import caption
from results.report.page import write_report
from results.settings import CAPACITY, settings, source_seeds
from results.summary import summary
from tests.conftest import Bench
from tests.support.pages import content_of
from tests.support.records import IMAGES, STUDY, collected, score, write_run


def tau(value: float) -> Json:
    return {"filter": {"tau": value}}


def means(home: Home, choice: Choice = "once") -> pd.DataFrame:
    store.collect(home, choice)
    with store.reading(home) as connection:
        return queries.scaling(connection, STUDY)


CHOICES: tuple[Choice, ...] = ("once", "per-n")


def setting_of(home: Home, label: str = "retrieved", choice: Choice = "once") -> list[str]:
    """Return the settings of a label's points, each once."""
    rows = means(home, choice)
    return list(dict.fromkeys(rows.loc[rows["label"] == label, "setting"]))


def said(home: Home, choice: Choice = "once") -> str:
    store.collect(home, choice)
    with store.reading(home) as connection:
        return " ".join(choices(connection, STUDY))


def write_taus(home: Home) -> None:
    """Leave three seeds of three tau, each of which leaves another number of images.

    Each seed's validation score prefers another tau; their mean prefers 0.2.
    """
    used = {0.19: 350_000, 0.2: 341_000, 0.21: 330_000}
    val = {0.19: (0.7, 0.4, 0.4), 0.2: (0.6, 0.6, 0.5), 0.21: (0.3, 0.65, 0.6)}
    for one, seed in product(used, range(3)):
        write_run(
            home, "retrieved", None, right=100 + 10 * seed, val=val[one][seed], seed=seed,
            options=tau(one), used=used[one],
        )  # fmt: skip


def test_three_seeds_that_prefer_three_tau_are_one_point_of_three_seeds(home: Home) -> None:
    write_taus(home)
    (row,) = means(home).to_dict("records")
    assert (row["n_used"], row["n_used_min"], row["n_used_max"]) == (341_000,) * 3
    assert (row["seeds"], row["setting"]) == (3, '{"source.filter.tau":0.2}')
    assert (row["mean"], row["seed_std"]) == pytest.approx((0.55, 0.05))
    assert "Retrieved images: source.filter.tau=0.2, of 3 settings (mean linear-probe " in said(
        home
    )


def test_one_lucky_seed_does_not_choose(home: Home) -> None:
    for seed, (steady, lucky) in enumerate([(0.6, 0.9), (0.6, 0.3), (0.6, 0.3)]):
        write_run(home, "retrieved", 100, seed=seed, val=steady, lr=1e-5)
        write_run(home, "retrieved", 100, seed=seed, val=lucky, lr=1e-3)
    assert setting_of(home) == ['{"train.lr":0.00001}']


def test_tuning_at_one_n_does_not_break_the_curve(home: Home, tmp_path: Path) -> None:
    for n, seed in product((100, 200, 400), range(3)):
        write_run(home, "retrieved", n, seed=seed, val=0.5, lr=1e-5)
    for lr in (1e-6, 1e-4, 1e-3):
        write_run(home, "retrieved", 100, right=10, val=0.9, lr=lr)
    rows = means(home)
    assert rows["seeds"].tolist() == [3, 3, 3]
    assert set(rows["mean"]) == {0.5}
    write_run(home, "retrieved", 50, val=0.9, lr=1e-3)
    assert len(means(home)) == 3
    page = content_of(write_report(home, tmp_path).html.read_text())
    assert "retrieved, n = 50, seed 0: not run with the chosen setting" in page
    assert ", of 1 setting, 3 left out as not run everywhere (mean " in said(home)


def test_a_curve_never_mixes_the_models_of_two_protocols(home: Home) -> None:
    scores = [score(split, 0.5, name) for split in ("val", "test") for name in SELECTORS]
    common: dict[str, Any] = {"scores": scores, "started": "2026-01-01"}
    for n in (100, 200):
        write_run(home, "retrieved", n, evaluators={"linear-probe": {"rule": "one-se"}}, **common)
    later = common | {"started": "2026-01-02"}
    write_run(home, "retrieved", 100, evaluators={"linear-probe": {"rule": "best"}}, **later)
    rows = means(home)
    assert sorted(rows["evaluator"] + " " + rows["n_used"].astype(str)) == [
        "linear-probe rule=best 100", "linear-probe rule=one-se 100",
        "linear-probe rule=one-se 200", "zero-shot 100", "zero-shot 200",
    ]  # fmt: skip
    with collected(home) as connection:
        runs = queries.selected_runs(connection, STUDY)
    shown = runs[runs["evaluator"] == "zero-shot"]
    assert shown["started"].tolist() == ["2026-01-01"] * 2
    write_run(home, "retrieved", 100, lr=1e-3, evaluators={"linear-probe": {"rule": "best"}})
    write_run(home, "retrieved", 300, status="failed", too_few_images=True, scores=[])
    assert 'selected by {"linear-probe":{"rule":"best"}}, train.lr=' in said(home)
    assert "at n = 300" not in said(home, "per-n")


def test_without_a_complete_setting_those_with_most_runs_compete(home: Home) -> None:
    for n, seed in product((100, 200), range(2)):
        write_run(home, "retrieved", n, seed=seed, val=0.5, lr=1e-5)
        write_run(home, "retrieved", n, seed=seed, val=0.6, lr=1e-4)
    write_run(home, "retrieved", 300, val=0.9, lr=1e-3)
    assert setting_of(home) == ['{"train.lr":0.0001}']
    text = said(home)
    assert "of 2 settings, 1 left out as not run everywhere" in text
    assert "over 4 runs each; none was run at all 5 n and seeds" in text


@pytest.mark.parametrize(
    ("hole", "chosen", "points"), [(True, 0.21, [100]), (False, 0.2, [100, 400])]
)
def test_too_few_images_are_an_answer_and_a_crash_is_none(
    home: Home, hole: bool, chosen: float, points: list[int]
) -> None:
    for n, seed in product((100, 400), range(2)):
        # Where only one of them has images, its score is compared with nothing.
        write_run(home, "retrieved", n, seed=seed, val=0.5 + (n == 400) / 2, options=tau(0.2))
        ended: dict[str, Any] = {"status": "failed", "error": "ended", "too_few_images": hole}
        outcome = {**ended, "scores": []} if n == 400 else {}
        write_run(home, "retrieved", n, seed=seed, val=0.6, options=tau(0.21), **outcome)
    rows = means(home)
    assert set(rows["setting"]) == {f'{{"source.filter.tau":{chosen}}}'}
    assert rows["n_used"].tolist() == points
    with collected(home) as connection:
        missing = queries.missing_runs(connection, STUDY)
    assert missing["error"].tolist() == ["ended"] * 2 * hole


def test_a_setting_that_nowhere_had_enough_images_takes_no_arm_with_it(home: Home) -> None:
    for n, seed in product((100, 400), range(2)):
        write_run(home, "retrieved", n, seed=seed, val=0.5, options=tau(0.2))
        # The first by name, which is chosen where none was compared.
        outcome: dict[str, Any] = {"status": "failed", "too_few_images": True, "scores": []}
        write_run(home, "retrieved", n, seed=seed, options=tau(0.1), **outcome)
    for choice in CHOICES:
        assert setting_of(home, choice=choice) == ['{"source.filter.tau":0.2}']
        assert means(home, choice)["n_used"].tolist() == [100, 400]
    assert "of 1 setting, 1 left out" in said(home)


def test_per_n_each_n_has_its_own_choice(home: Home, tmp_path: Path) -> None:
    preferred = {100: 1e-3, 200: 1e-5}
    for (n, lr), seed in product(product(preferred, (1e-3, 1e-5)), range(2)):
        val = 0.6 if preferred[n] == lr else 0.5 - (lr == 1e-3) / 10
        write_run(home, "retrieved", n, seed=seed, val=val, lr=lr)
    assert setting_of(home) == ['{"train.lr":0.00001}']
    assert setting_of(home, choice="per-n") == ['{"train.lr":0.001}', '{"train.lr":0.00001}']
    assert set(means(home, "per-n")["settings_chosen"]) == {"per-n"}
    text = said(home, "per-n")
    assert "at each n and over all seeds" in text
    assert "at n = 100, train.lr=0.001, of 2 settings" in text
    assert "at each n and over" in write_report(home, tmp_path, "per-n").html.read_text()


def test_the_commands_take_the_choice(
    home: Home, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_HOME", str(home.root))
    for n, lr in product((100, 200), (1e-3, 1e-5)):
        write_run(home, "retrieved", n, val=0.4 + 0.2 * ((n == 100) == (lr == 1e-3)), lr=lr)
    for choice, chosen in (("once", {1e-5}), ("per-n", {1e-3, 1e-5})):
        assert bench("collect", "--settings", choice).code == 0
        with store.reading(home) as connection:
            assert set(queries.selected_runs(connection, STUDY)["lr"]) == chosen
        for command in ("export", "report"):
            out = tmp_path / f"{choice}-{command}"
            assert bench(command, "--settings", choice, "--out", str(out)).code == 0
    numbers = pd.read_csv(tmp_path / "per-n-export")
    assert numbers["setting"].tolist() == ['{"train.lr":0.001}', '{"train.lr":0.00001}']
    assert set(pd.read_csv(tmp_path / "once-export")["settings_chosen"]) == {"once"}


def test_one_model_a_point_whichever_evaluator_shows_it(home: Home) -> None:
    for lr, probe, zero in ((1e-5, 0.6, 0.2), (1e-3, 0.5, 0.9)):
        scores = [score("val", probe), score("val", zero, "zero-shot")]
        scores += [score("test", 0.5), score("test", zero, "zero-shot")]
        write_run(home, "retrieved", 100, lr=lr, scores=scores)
    rows = means(home).set_index("evaluator")
    assert set(rows["setting"]) == {'{"train.lr":0.00001}'}
    assert rows.loc["zero-shot", "mean"] == 0.2


def test_equal_means_are_told_apart_by_name_and_not_by_rounding(home: Home) -> None:
    for seed, val in enumerate((0.1, 0.2, 0.3)):
        write_run(home, "retrieved", 100, seed=seed, val=val, options=tau(0.2))
        write_run(home, "retrieved", 100, seed=2 - seed, val=val, options=tau(0.19))
    assert setting_of(home) == ['{"source.filter.tau":0.19}']
    assert "over 3 runs each; the first by name of 2 equal ones)" in said(home)


SELECTORS = ("linear-probe", "zero-shot")


def selected_by(home: Home, source: str, evaluator: str, **changes: Any) -> None:
    """Leave a run that one of the two selected and both evaluated."""
    scores = [score(split, 0.5, name) for split in ("val", "test") for name in SELECTORS]
    train = TrainSpec(select_by=evaluator)
    write_run(home, source, 100, train=train, scores=scores, **changes)


def test_models_that_two_evaluators_selected_are_two_curves(home: Home) -> None:
    for (place, by), source in product(enumerate(SELECTORS), ("retrieved", "synthetic")):
        selected_by(home, source, by, right=100 + 40 * place * (source == "retrieved"))
    selected_by(home, "none", "linear-probe")
    rows = means(home)
    assert set(rows["label"]) == {"none"} | {
        f"{source} select_by={by}" for source in ("retrieved", "synthetic") for by in SELECTORS
    }
    assert set(rows["seeds"]) == {1}
    with collected(home) as connection:
        found = conclusions(connection, STUDY)
    headlines = [text for text in found if text.startswith("On mini-aircraft")]
    assert len(headlines) == 2
    assert not any("linear-probe images" in text and "by=zero-shot" in text for text in headlines)
    assert "On validation data, linear-probe and zero-shot chose" in said(home)


def test_arms_that_two_evaluators_selected_are_not_compared(home: Home) -> None:
    selected_by(home, "retrieved", "linear-probe")
    selected_by(home, "synthetic", "zero-shot")
    with collected(home) as connection:
        (sentence,) = conclusions(connection, STUDY)
    assert sentence.startswith("No evaluator selected both retrieved select_by=linear-probe and")


def test_seeds_of_the_source_are_replicates(home: Home) -> None:
    for seed, source_seed in product((0, 1), (0, 1)):
        right = 100 + 20 * source_seed
        options = {"seed": source_seed, "filter": {"rule": "none"}}
        used = 1_000 + 100 * source_seed
        write_run(
            home, "synthetic", None, right, val=source_seed / 2, seed=seed, options=options,
            used=used,
        )  # fmt: skip
    (row,) = means(home).to_dict("records")
    assert (row["seeds"], row["mean"], row["setting"]) == (4, pytest.approx(0.55), "{}")
    assert (row["n_used"], row["n_used_min"], row["n_used_max"]) == (1_050, 1_000, 1_100)
    with collected(home) as connection:
        scaling = queries.scaling(connection, STUDY)
        answers, _ = queries.answers(connection, STUDY, "linear-probe", ["synthetic"], 1_050)
    assert answers.shape == (IMAGES, 4)
    assert tables.readable(scaling)["n used"].tolist() == ["1k to 1.1k"]
    text = caption(STUDY, scaling, {}, published=[], caution="")
    assert "Flat bars reach from the least to the most images" in text


def test_size_and_speed_are_no_settings_and_the_larger_set_is_shown(home: Home) -> None:
    for size, val in ((1_000, 0.9), (5_000, 0.1)):
        options = {"size": size, "generation": {"batch_size": size}}
        right = size // 50
        write_run(home, "synthetic", 100, right=right, val=val, options=options, kept=size)
    (row,) = means(home).to_dict("records")
    assert (row["setting"], row["n_kept"], row["mean"]) == ("{}", 5_000, 0.5)


def test_every_capacity_option_is_one_of_a_source() -> None:
    known = {path for name in sources.names() for path in paths(options_type(sources, name))}
    assert set(CAPACITY) <= known


def test_settings_are_named_as_set_names_them(home: Home) -> None:
    def options(tau: float, seed: int) -> Json:
        parts = {"retrieved": {"filter": {"tau": tau}}, "synthetic": {"seed": seed, "size": 10}}
        return {"parts": {"retrieved": 0.5, "synthetic": 0.5}, "options": parts}

    runs = [
        write_run(home, "mixed", 100, options=options(tau, seed), lr=lr)
        for tau, seed, lr in ((0.1, 0, 1.0), (0.2, 1, 1.0))
    ]
    assert [settings(runs)[run.run_id] for run in runs] == [
        {"source.options.retrieved.filter.tau": 0.1}, {"source.options.retrieved.filter.tau": 0.2}
    ]  # fmt: skip
    assert source_seeds(runs[1].spec) == {"source.options.synthetic.seed": 1}


def test_unequal_numbers_of_settings_are_said(home: Home, tmp_path: Path) -> None:
    write_taus(home)
    for seed in range(3):
        write_run(home, "synthetic", 100, seed=seed)
    text = said(home)
    expected = (
        "Arms differ by up to 2 in how many settings were compared: 3 for retrieved images and 1 "
        "for synthetic images."
    )
    assert expected in text
    assert text.startswith(
        "On validation data, linear-probe chose the epoch of every run and, once"
    )
    assert expected in " ".join(summary(home, [STUDY]).split())
    page = write_report(home, tmp_path).html.read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert expected in page
    assert "<td>source.filter.tau=0.2</td><td>yes</td><td>yes</td><td>56.7</td>" in page
    assert expected in (tmp_path / "mini-aircraft.md").read_text()


def test_per_n_unequal_numbers_of_settings_are_said_at_each_n(home: Home) -> None:
    for n, lr in product((100, 200), (1e-3, 1e-5)):
        write_run(home, "retrieved", n, lr=lr)
        if (n, lr) != (200, 1e-5):
            write_run(home, "synthetic", n, lr=lr)
    write_run(home, "retrieved", 50)
    expected = (
        "At n = 200, arms differ by up to 1 in how many settings were compared: 2 for retrieved "
        "images and 1 for synthetic images."
    )
    assert said(home, "per-n").endswith(expected)
    assert said(home, "per-n").count("differ by") == 1


@pytest.mark.parametrize(
    ("value", "written"),
    [(True, "true"), (None, "null"), (0.1, "0.1"), (1e-05, "1e-05"), ("a", "a")],
)
def test_a_setting_is_written_as_set_reads_it(value: object, written: str) -> None:
    setting = canonical_json({"train.x": value}).decode()
    assert named(setting) == f"train.x={written}"


def test_all_images_are_no_point_of_their_own_at_the_mean_of_another(home: Home) -> None:
    for seed, used in enumerate((90, 100, 110)):
        write_run(home, "retrieved", None, right=150, seed=seed, used=used)
        write_run(home, "retrieved", 100, right=50, seed=seed)
        write_run(home, "synthetic", 100, right=100, seed=seed)
    rows = means(home)
    assert rows["mean"].tolist() == [0.25, 0.5]
    with collected(home) as connection:
        headline, *_ = conclusions(connection, STUDY)
    assert "synthetic images beat retrieved ones by 25.0 points" in headline


def test_settings_that_share_no_run_are_not_ranked(home: Home) -> None:
    write_run(home, "retrieved", 100, val=0.1, lr=1e-5)
    write_run(home, "retrieved", 200, val=0.9, lr=1e-4)
    assert "they have no run in common, so the first by name" in said(home)
    assert len(means(home, "per-n")) == 2
