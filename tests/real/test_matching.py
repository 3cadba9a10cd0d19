"""Every matcher finds what a comparison of every caption with every query finds."""

from pathlib import Path
from typing import get_args

import polars as pl
import pytest

from bench.core.paths import Home
from bench.core.task import Queries, Query, Task
from sources.pool.matcher import CaptionMatcher, Matcher
from sources.pool.pool import Pool
from sources.pool.scan import candidates, scan
from tests.real.captions import MatcherByHand, captioned
from tests.real.pictures import LANGUAGES, Picture
from tests.support.pools import context


@pytest.fixture(scope="session")
def captions(emoji: list[Picture], foods: list[Picture], photos: list[Picture]) -> list[str]:
    """Captions in twelve languages and eleven spellings."""
    alive = [
        picture
        for picture in emoji
        if picture.origin == "noto" and picture.group in ("Food & Drink", "Animals & Nature")
    ]
    return [caption for _, caption in captioned([*alive, *foods, *photos])]


@pytest.fixture(scope="session")
def meals(emoji: list[Picture]) -> Task:
    """A task of all that can be eaten or drunk, asked for in every language."""
    names: Queries = {
        picture.names["en"]: Query(any=tuple(dict.fromkeys(picture.names.values())))
        for picture in emoji
        if picture.group == "Food & Drink"
    }
    return Task(
        name="meals", version=1, class_names=tuple(names), templates=("a {}",),
        domain_texts=("a meal",), queries=names,
    )  # fmt: skip


@pytest.mark.parametrize("matcher", get_args(Matcher))
def test_a_matcher_finds_what_every_comparison_finds(
    matcher: Matcher, captions: list[str], meals: Task
) -> None:
    rows = CaptionMatcher(meals, matcher).find(pl.Series(captions))
    found: dict[int, set[str]] = {}
    for row, label in rows.select("row", "label").iter_rows():
        found.setdefault(row, set()).add(meals.class_names[label])
    by_hand = MatcherByHand(meals, matcher)
    differ = [
        (caption, wanted, found.get(row, set()))
        for row, caption in enumerate(captions)
        if (wanted := by_hand.find(caption)) != found.get(row, set())
    ]
    assert not differ, differ[:5]
    # Each class is found in most languages; a language lacks it where a name is another's part.
    named = [row for row in found if found[row]]
    assert len(named) > len(meals.class_names) * len(LANGUAGES) // 2


def test_a_scan_s_candidates_are_those_of_every_comparison(
    captions: list[str], meals: Task, home: Home, tmp_path: Path
) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    table = pl.DataFrame({"URL": [f"http://a/{at}" for at in range(len(captions))]})
    table = table.with_columns(TEXT=pl.Series(captions))
    for part in range(3):
        table[part::3].write_parquet(pool / f"{part}.parquet")
    stage = scan(Pool(str(pool), pool), meals, context(home, meals), "phrase", "drop")
    by_hand = MatcherByHand(meals, "phrase")
    wanted = {
        f"http://a/{at}": names.pop()
        for at, caption in enumerate(captions)
        if len(names := by_hand.find(caption)) == 1
    }
    found = candidates(stage)
    assert dict(found.select("url", "class_name").iter_rows()) == wanted
    assert found.height == len(wanted)
