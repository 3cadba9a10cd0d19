"""Mixtures: their proportions, their nesting, and parts that are too small."""

import shutil
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.planning.preset import resolve
from bench.plugins import source_of
from bench.plugins.optional import SupportsEstimate
from bench.storage.image_set import ImageSet
from bench.tasks import find_task
from sources.mixed import apportion
from tests.conftest import Bench
from tests.support.command_line import refusal
from tests.support.contexts import context
from tests.support.source_options import options_of
from tests.support.tiny_clip import COLOURS, texture

shares = st.lists(st.integers(1, 100), min_size=1, max_size=5).map(
    lambda parts: {f"p{i}": Fraction(part, sum(parts)) for i, part in enumerate(parts)}
)


@given(st.integers(0, 400), shares)
def test_a_mixture_is_proportional_and_given_out_one_by_one(
    n: int, parts: dict[str, Fraction]
) -> None:
    counts = dict.fromkeys(parts, 0)
    for _ in range(n):
        counts[min(parts, key=lambda name: (counts[name] + Fraction(1, 2)) / parts[name])] += 1
    assert apportion(n, parts) == counts
    assert all(abs(counts[name] - n * share) <= len(parts) / 2 for name, share in parts.items())


def test_large_mixtures_are_apportioned_at_once() -> None:
    parts = {"a": Fraction(3, 10), "b": Fraction(7, 10)}
    assert apportion(10**9, parts) == {"a": 3 * 10**8, "b": 7 * 10**8}


@pytest.fixture
def mixture(preset: Path, colours: Path, tmp_path: Path, home: Home) -> Any:
    # Seven images of one source, twelve of the other; all differ from the task's.
    own = tmp_path / "own"
    for label, name in enumerate(COLOURS):
        (own / name).mkdir(parents=True)
        for index in range(4):
            texture(100 + 10 * label + index).save(own / name / f"{index}.png")

    def collect(n: int | None, **ratio: float) -> ImageSet:
        parts = [f"source.parts.{name}={share}" for name, share in ratio.items()]
        spec = resolve(
            str(preset), task=str(colours), source="mixed", n=n,
            settings=[*parts, f"source.options.folder.path={own}"],
        )  # fmt: skip
        return source_of("mixed", spec.options).collect(context(home, find_task(str(colours)), n))

    return collect


@pytest.mark.parametrize("n", [1, 2, 7, 10])
def test_a_mixture_keeps_its_proportions_and_its_number(mixture: Any, n: int) -> None:
    rows = mixture(n, real=0.7, folder=0.3).index()
    counts = Counter(rows["origin"])
    assert rows.height == n
    assert counts["real"] == apportion(n, {"r": Fraction(7, 10), "f": Fraction(3, 10)})["r"]


def test_all_of_a_mixture_is_what_the_scarcest_part_allows(mixture: Any) -> None:
    # 24 real images, 12 of the folder.
    halves = mixture(None, real=0.5, folder=0.5).index()
    assert Counter(halves["origin"]) == {"real": 12, "folder": 12}
    assert Counter(mixture(None, real=0.9, folder=0.1).index()["origin"])["real"] == 24


def test_smaller_mixtures_are_parts_of_larger_ones(mixture: Any) -> None:
    few, many = (set(mixture(n, real=0.5, folder=0.5).index()["key"]) for n in (7, 12))
    assert few < many


@pytest.mark.parametrize("n", [None, 4])
def test_an_empty_part_is_named(
    home: Home, tmp_path: Path, tiny_clip: Path, colours: Path, n: int | None
) -> None:
    task = find_task(str(colours))
    for name in COLOURS:
        shutil.copytree(colours / "test" / name, tmp_path / "leaks" / name)
    folder = options_of("folder", path=str(tmp_path / "leaks"), filter__model=str(tiny_clip))
    options = {"parts": {"real": 1, "folder": 1}, "options": {"real": {}, "folder": folder}}
    with pytest.raises(RequestError, match=r"'folder' (has 0|of the mixture has no images)"):
        source_of("mixed", options).collect(context(home, task, n))


def test_a_part_of_no_images_is_not_made_and_costs_nothing(home: Home, colours: Path) -> None:
    absent = options_of("synthetic", generation__model="nowhere", filter__model="nowhere")
    parts = {"real": 0.9, "synthetic": 0.1}
    source = source_of("mixed", {"parts": parts, "options": {"real": {}, "synthetic": absent}})
    given = context(home, find_task(str(colours)), 2)
    assert isinstance(source, SupportsEstimate)
    assert len(source.collect(given)) == 2
    assert source.estimate(given) == {"real": "unknown"}


def test_a_part_with_too_few_images_says_so(mixture: Any) -> None:
    with pytest.raises(RequestError, match=r"'folder' has 12"):
        mixture(40, real=0.5, folder=0.5)


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ("{}", "needs parts"),
        ("{real: 0}", "above zero"),
        ("{real: -1, folder: 2}", "above zero"),
        ("{none: 1}", "cannot be part"),
        ("{mixed: 1}", "part"),
        ("{reel: 1}", "did you mean real"),
        ("3", "parts"),
    ],
)
def test_a_wrong_mixture_is_a_request_error(bench: Bench, home: Home, parts: str, why: str) -> None:
    assert why in refusal(bench, home, "mixed", f"parts={parts}", "options.folder.path=/")


def test_parts_that_keep_images_differently_are_refused(bench: Bench, home: Home) -> None:
    given = ("options.synthetic.images.size=24", "options.synthetic.generation.height=24")
    complaint = refusal(bench, home, "mixed", *given)
    assert "retrieved keeps images with images.size=32, synthetic with 24" in complaint
    given = ("images.suffix=.jpg", "of=mixed")
    assert "images.suffix=.jpg, mixed with .png" in refusal(bench, home, "denoised", *given)
