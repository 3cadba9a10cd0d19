"""Sentences say what came out, with intervals, and no more than the runs can tell."""

from itertools import product
from pathlib import Path

import pytest

from bench.core.paths import Home
from results.conclusions.conclusion import conclusions
from results.report.page import write_report
from results.summary import summary
from results.wording import unbroken
from tests.support.records import STUDY, collected, score, write_curves, write_run


def sentences(home: Home) -> list[str]:
    with collected(home) as connection:
        return conclusions(connection, STUDY)


HEADLINE = "On mini-aircraft at n = 500, "


def write_seeds(home: Home, source: str, n: int, *right: int) -> None:
    """Leave one run per seed, given how many images each gets right."""
    for seed, of_seed in enumerate(right):
        write_run(home, source, n, right=of_seed, seed=seed)


def test_conclusion_at_the_largest_common_n(home: Home) -> None:
    write_seeds(home, "retrieved", 500, 80, 80, 80)
    write_seeds(home, "synthetic", 500, 120, 121, 122)
    write_seeds(home, "synthetic", 4_000, 199, 199, 199)
    (sentence,) = sentences(home)
    assert sentence.startswith(
        f"{HEADLINE}synthetic images beat retrieved ones by 20.5 points of linear-probe accuracy "
        "(95 % interval over test images and seeds "
    )
    assert sentence.endswith(", p < 0.001, Holm-corrected < 0.001; 3 seeds, from 20.0 to 21.0).")


@pytest.mark.parametrize(
    ("synthetic", "ran"),
    [((120,), "1 seed"), ((120, 121), "2 seeds, from 20.0 to 20.5"), ((120,) * 3, "2 and 3 seeds")],
)
def test_nobody_beats_anybody_with_fewer_than_three_seeds(
    home: Home, synthetic: tuple[int, ...], ran: str
) -> None:
    write_run(home, "none", None, right=100)
    write_seeds(home, "retrieved", 500, *(80,) * min(len(synthetic), 2))
    write_seeds(home, "synthetic", 500, *synthetic)
    headline, against, needed = sentences(home)
    assert headline.startswith(f"{HEADLINE}synthetic images score 20.")
    assert " points higher than retrieved ones in linear-probe accuracy (95 % interval " in headline
    assert "interval over test images 14." in headline
    assert f"; {ran}" in headline
    assert headline.endswith(": not tested over seeds).")
    assert "p " not in headline
    assert " In these runs, retrieved images at n = 500 do harm: they lower it to 40.0 %" in against
    assert needed.startswith("A test over seeds takes 3 seeds of each arm, and of its source ")


def test_what_seeds_do_to_a_difference_may_undo_it(home: Home) -> None:
    """The images alone say 17.5 points, give or take 5; seeds say up to 40 and down to 0."""
    write_seeds(home, "retrieved", 500, 160, 125, 85)
    write_seeds(home, "synthetic", 500, 80, 85, 100)
    (sentence,) = sentences(home)
    assert "no significant difference between retrieved and synthetic images" in sentence
    assert "interval over test images and seeds -" in sentence


@pytest.mark.parametrize(("seeds", "said"), [(1, "; 1 seed: not tested"), (5, "; 5 seeds, ")])
def test_conclusion_without_a_difference(home: Home, seeds: int, said: str) -> None:
    for seed in range(seeds):
        write_run(home, "retrieved", 500, right=101 + seed, seed=seed)
        write_run(home, "synthetic", 500, right=100 + seed + (seeds == 5), seed=seed)
    sentence, *needed = sentences(home)
    assert "no significant difference between retrieved and synthetic images" in sentence
    assert said in sentence
    assert bool(needed) == (seeds == 1)


@pytest.mark.parametrize(("last", "agreed"), [(139, True), (140, False), (141, False)])
def test_seeds_that_disagree_are_said_so(home: Home, last: int, agreed: bool) -> None:
    write_seeds(home, "retrieved", 500, 140, 140, 140, 140, 140)
    write_seeds(home, "synthetic", 500, 80, 80, 80, 80, last)
    sentence, *_ = sentences(home)
    assert "retrieved images beat synthetic ones by " in sentence
    assert ("not at every seed" in sentence) != agreed


def test_each_variant_is_compared_alone(home: Home) -> None:
    write_run(home, "retrieved", 100, right=100)
    for name, right in (("good", 150), ("bad", 50)):
        options = {"generation": {"model": f"lab/{name}"}}
        write_run(home, "synthetic", 100, options=options, right=right)
    bad, good, _ = sentences(home)
    assert "retrieved images score 25.0 points higher than synthetic bad ones" in bad
    assert "synthetic good images score 25.0 points higher than retrieved ones" in good


@pytest.mark.parametrize(("generated", "cautious"), [(0.14, True), (0.66, False)])
def test_a_generator_at_chance_is_said_so(home: Home, generated: float, cautious: bool) -> None:
    shares = {"real": 0.95, "rebuilt": 0.8, "generated": generated, "wrong_caption": 0.1}
    domain = {name: {"accuracy": share, "n": 200} for name, share in shares.items()}
    settings = {"chance": 0.125, "scheduler": "ddim", "steps": 20, "guidance": 2.5, "later": "key"}
    write_run(home, "retrieved", 500, right=150)
    fidelity = {"settings": settings, "domains": {"aircraft": domain}}
    write_run(home, "synthetic", 500, fidelity=fidelity)
    sentence, *_ = sentences(home)
    assert ("no class fidelity" in sentence) == cautious


def test_what_was_not_compared_is_said(home: Home) -> None:
    write_run(home, "retrieved", 100)
    write_run(home, "synthetic", 500)
    assert sentences(home)[0] == (
        "Retrieved and synthetic images were not evaluated at the same n by linear-probe."
    )
    run = write_run(home, "synthetic", 100)
    (home.run(run.run_id) / "predictions.parquet").unlink()
    assert "cannot be compared by linear-probe, as runs left no predictions" in sentences(home)[0]


def test_harm_and_gain_against_the_unadapted_model(home: Home) -> None:
    write_run(home, "none", None, right=100)
    for seed in (0, 1, 2):
        write_run(home, "retrieved", 500, right=140, seed=seed)
        write_run(home, "synthetic", 500, right=80, seed=seed)
        write_run(home, "real", 500, right=100 + seed, seed=seed)
        write_run(home, "mixed", 500, right=100, seed=seed, selection={"epoch": 0})
    _, text, *_ = sentences(home)
    assert text.startswith("Without adaptation, linear-probe accuracy is 50.0 %. ")
    gain = "(+20.0 points, 95 % interval over test images and seeds 14."
    assert f" Retrieved images at n = 500 raise it to 70.0 % {gain}" in text
    assert ", p < 0.001, Holm-corrected < 0.001)." in text
    assert " Synthetic images at n = 500 do harm: they lower it to 40.0 % (-10.0 points" in text
    assert " Real images at n = 500 (50.5 %, +0.5 points, 95 % interval over test images " in text
    assert ") make no significant difference. Mixed images leave it unchanged" in text


def test_harm_that_validation_hid_is_said(home: Home) -> None:
    write_run(home, "none", None, right=100)
    scores = [score("test", 0.5, name) for name in ("linear-probe", "zero-shot")]
    for seed in (0, 1):
        write_run(home, "retrieved", 500, right=140, seed=seed)
        write_run(home, "synthetic", 500, trained=70, seed=seed, scores=scores)
    *_, text, missing, _ = sentences(home)
    assert text.startswith(
        "Validation kept the unadapted model in 2 of 2 runs of synthetic images at n = 500. At "
        "their best trained epoch, they do harm: they lower linear-probe accuracy to 35.0 % "
        "(-15.0 points, 95 % interval "
    )
    assert "zero-shot" not in text  # The unadapted model has no such score to compare with.
    assert missing == "Retrieved images were not evaluated by zero-shot."


def test_harm_that_validation_hid_in_some_runs_is_said_over_all(home: Home) -> None:
    write_run(home, "none", None, right=120)
    adapted = {"epoch": 2, "trained_epoch": 2, "last_epoch": 3}
    write_run(home, "synthetic", 500, 120, trained=40)
    for seed in (1, 2):
        write_run(home, "synthetic", 500, 60, seed=seed, selection=adapted)
    _, text, *_ = sentences(home)
    assert text.startswith("Validation kept the unadapted model in 1 of 3 runs of synthetic ")
    assert " Over all 3, each at its best trained epoch, they do harm: they lower " in text
    assert " (-33.3 points, " in text


def test_runs_without_scores_of_the_trained_epoch_are_not_counted(home: Home) -> None:
    write_run(home, "none", None, right=100)
    write_run(home, "synthetic", 500, trained=40)
    write_run(home, "synthetic", 500, right=150, seed=1)
    text = " ".join(sentences(home))
    assert "in 1 of 2 runs of synthetic images at n = 500. At their best trained epoch, " in text


def test_harm_is_said_where_seeds_used_different_numbers_of_images(home: Home) -> None:
    write_run(home, "none", None)
    for seed, used in enumerate((90, 100, 110)):
        write_run(home, "synthetic", 120, trained=60, seed=seed, used=used)
    _, text, *_ = sentences(home)
    assert text.startswith("Validation kept the unadapted model in 3 of 3 runs of synthetic images")


def test_harm_is_said_where_every_arm_stayed_the_unadapted_model(home: Home) -> None:
    write_run(home, "none", None)
    write_run(home, "retrieved", 100, trained=100)
    write_run(home, "synthetic", 100, trained=60)
    first, retrieved, synthetic = sentences(home)
    assert "so there is nothing to compare" in first
    assert "they make no significant difference to linear-probe accuracy (50.0 %" in retrieved
    assert "they do harm: they lower linear-probe accuracy to 30.0 % (-20.0 points" in synthetic


def test_an_arm_without_results_is_said_once(home: Home) -> None:
    write_run(home, "none", None, right=100)
    write_run(home, "retrieved", 500, right=140)
    against, missing = sentences(home)
    assert (
        "In these runs, retrieved images at n = 500 raise it to 70.0 % (+20.0 points, " in against
    )
    assert missing == "There are no results of synthetic images to compare with."


@pytest.mark.parametrize(
    ("seeds", "better", "gain", "harm"),
    [
        (3, "are better in", "raise", "harm"),
        (2, "score higher in", "raise", "harm"),
    ],
)
def test_other_evaluators_are_grouped_by_what_they_say(
    home: Home, seeds: int, better: str, gain: str, harm: str
) -> None:
    scores = [score("test", 0.5, name) for name in ("linear-probe", "zero-shot", "knn")]
    write_run(home, "none", 500, 100, scores=scores)
    for seed in range(seeds):
        write_run(home, "retrieved", 500, 140, scores=scores, seed=seed)
        write_run(home, "synthetic", 500, 60, scores=scores, seed=seed)
    _, others, _, against, *_ = sentences(home)
    assert others.startswith(f"Retrieved images {better} zero-shot accuracy (40.0 points, ")
    assert f"etrieved images {gain} zero-shot accuracy (+20.0 points, " in against
    assert f"ynthetic images {harm} zero-shot accuracy (-20.0 points, " in against
    assert against.count("knn accuracy") == 2
    assert against.count("not tested over seeds") == (4 if seeds == 2 else 0)


def test_arms_that_stayed_the_unadapted_model_are_not_compared(home: Home, tmp_path: Path) -> None:
    write_run(home, "none", None, selection={"epoch": 0})
    for source, seed in product(("retrieved", "synthetic"), (0, 1)):
        write_run(home, source, 100, seed=seed, selection={"epoch": 0})
    (sentence,) = sentences(home)
    assert "validation chose the unadapted model in every run of retrieved and" in sentence
    # One run that was adapted is enough for a comparison.
    write_run(home, "retrieved", 200, right=150, selection={"epoch": 7})
    compared, against, *_ = sentences(home)
    assert "at n = 100" in compared
    assert "In these runs, retrieved images at n = 200 raise it to 75.0 %" in against
    assert "Synthetic images leave it unchanged" in against
    page = write_report(home, tmp_path).html.read_text()
    assert all(cell in page for cell in ('<th scope="col">epoch</th>', "<td>7</td>"))


def test_curves_say_how_many_images_are_worth_how_many(home: Home, tmp_path: Path) -> None:
    write_run(home, "none", None, right=60)
    write_curves(home, retrieved={100: 80, 400: 160}, synthetic={100: 70, 1_600: 120})
    # Hyper-parameters that validation refused say nothing, nor do another objective's curves.
    write_run(home, "retrieved", 50, right=199, objective="clip")
    write_run(home, "retrieved", 100, right=199, lr=1.0, val=0.1)
    *_, sentence, _ = sentences(home)
    assert sentence.startswith(
        "Synthetic images do best at n = 1.6k, with 60.0 % of linear-probe accuracy, which about "
        "200 retrieved ones reach: a data-equivalence ratio of 8 synthetic images to 1 retrieved "
        "one (95 % interval "
    )
    assert sentence.endswith(
        "; a bootstrap over test images and 2 seeds, too few for a test over seeds, not over what "
        "validation data chose)."
    )
    assert unbroken(sentence) in write_report(home, tmp_path).html.read_text()
    assert sentence in " ".join(summary(home, [STUDY]).split())


@pytest.mark.parametrize(
    ("retrieved", "synthetic", "expected"),
    [
        (
            {100: 130, 200: 170}, {100: 70, 1_600: 80},
            "which the fewest retrieved ones tried, 100, already reach: a data-equivalence ratio "
            "of at least 16 synthetic images to 1 retrieved one (95 % interval at least 16; ",
        ),
        (
            {100: 70, 400: 80}, {100: 90, 1_600: 130},
            "which not even 400 retrieved ones reach: a data-equivalence ratio of less than 4 "
            "synthetic images to 1 retrieved one (95 % interval less than 4; ",
        ),
        (
            {100: 70, 400: 80}, {100: 60, 1_600: 60},
            "Synthetic images do not reliably raise linear-probe accuracy (30.0 % at best, "
            "unadapted 30.0 %) at any n, so there is no data-equivalence ratio.",
        ),
    ],
)  # fmt: skip
def test_what_the_sizes_cannot_tell_is_said(
    home: Home, retrieved: dict[int, int], synthetic: dict[int, int], expected: str
) -> None:
    write_run(home, "none", None, right=60)
    write_curves(home, retrieved=retrieved, synthetic=synthetic)
    assert expected in sentences(home)[-2]


def test_a_ratio_of_three_seeds_covers_them(home: Home) -> None:
    for source, curve in (("retrieved", {100: 80, 400: 160}), ("synthetic", {100: 70, 1_600: 120})):
        for n, right in curve.items():
            write_seeds(home, source, n, right, right, right)
    *_, sentence = sentences(home)
    assert sentence.endswith(
        "; a bootstrap over test images and 3 seeds, not over what validation data chose)."
    )


@pytest.mark.parametrize(
    ("most", "smallest", "seeds", "expected"),
    [
        (80, 60, (61, 60, 60), "30.2 % at best, unadapted 30.0 %"),  # Most resamples have none.
        # One seed of synthetic images does better than any retrieved ones, the other worse.
        (110, 61, (62, 130), "interval is less than 1 to at least 4 by linear-probe accuracy (a"),
    ],
)
def test_a_ratio_that_seeds_do_not_agree_on_is_not_said(
    home: Home, most: int, smallest: int, seeds: tuple[int, ...], expected: str
) -> None:
    write_run(home, "none", None, right=60)
    write_curves(home, retrieved={100: 70, 400: most}, synthetic={100: smallest})
    for seed, right in enumerate(seeds):
        write_run(home, "synthetic", 400, right=right, seed=seed)
    assert expected in sentences(home)[-2]
