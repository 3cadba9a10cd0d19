"""The scan over a pool's captions: what is found, and what is dropped."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.core.task import Task
from bench.storage.image_codec import ImageFormat
from bench.storage.stage import Stage
from sources.download.download import download
from sources.download.options import DownloadOptions
from sources.pool.ambiguous import Ambiguous
from sources.pool.matcher import MAX_CAPTION
from sources.pool.scan import candidates, labelled, with_labels
from tests.conftest import Bench
from tests.support.pools import TASK, Row, classes, context, flowers, scan_pool, write_pool


def scan_rows(
    home: Home,
    rows: Sequence[Row],
    task: Task = TASK,
    ambiguous: Ambiguous = "longest",
    files: int = 1,
) -> Stage:
    return scan_pool(home, write_pool(home.root / "pool", rows, files), task, ambiguous)


@pytest.mark.parametrize(
    ("captions", "name"),
    [
        (("A Rose in my garden", "ROSES!", "primrose"), "rose"),
        (
            ("ros\u00e9", "RO\u017fE", "\uff32\uff2f\uff33\uff25", "ro\u200bse", "r\u0301ose"),
            "rose",
        ),
        (("marigold",), "marigold"),
        (("an English Marigold", "english marigold, a marigold and a rose"), "english marigold"),
        (("sea holly", "alpine sea\u00a0holly"), "alpine sea holly"),
        (("a lily, and a rose", "lily rose", "a tulip", "", None), None),
        (("r\u00f8se", "\u0440\u043e\u0437\u0430"), None),
    ],
)
def test_the_longest_name(home: Home, captions: tuple[str | None, ...], name: str | None) -> None:
    task = flowers(
        "rose", "lily", "marigold", "english marigold", "alpine sea holly",
        **{"alpine sea holly": "Sea Holly"},
    )  # fmt: skip
    rows = [(f"http://x/{at}", caption, "UNLIKELY") for at, caption in enumerate(captions)]
    stage = scan_rows(home, rows, task)
    urls = [url for url, _, _ in rows]
    assert classes(stage, task) == (dict.fromkeys(urls, name) if name else {})


def test_names_that_share_a_query_are_never_told_apart(home: Home) -> None:
    task = flowers("rose", "tea rose", "lily", **{"tea rose": "Rose"})
    stage = scan_rows(home, [("http://u1", "a rose", None), ("http://u2", "a lily", None)], task)
    assert classes(stage, task) == {"http://u2": "lily"}


def test_flagged_pairs_are_dropped_and_counted(home: Home) -> None:
    flags = ["UNLIKELY", "UNSURE", "NSFW", None, "unsure"]
    rows: list[Row] = [(f"http://u{i}", "a rose", flag) for i, flag in enumerate(flags)]
    rows += [("http://u8", "a rose, a lily", "UNLIKELY"), ("http://u9", "a dog", "UNLIKELY")]
    stage = scan_rows(home, rows, files=2)
    assert set(classes(stage)) == {"http://u0", "http://u3"}
    assert stage.info() == {
        "rows": 7, "without a flag column": 0, "naming a class": 6, "no web URL": 0,
        "ambiguous": 1, "ambiguous, dropped": 1, "flagged NSFW or UNSURE": 3, "punsafe too high": 0,
        "duplicate URLs": 0, "incomplete": [],
    }  # fmt: skip


def test_a_url_is_kept_once_even_across_files(home: Home) -> None:
    captions = ("a rose", "a lily", "a rose again", "rose")
    rows: list[Row] = [("http://u1", caption, None) for caption in captions]
    stage = scan_rows(home, [*rows, ("http://u2", "a lily", None)], files=3)
    assert classes(stage) == {"http://u1": "rose", "http://u2": "lily"}
    assert (stage.info()["naming a class"], stage.info()["duplicate URLs"]) == (5, 3)


def test_only_web_urls_are_candidates(home: Home) -> None:
    urls = ["http://a/1", "HTTPS://a/2", "file:///etc/passwd", "ftp://a/3", "a/4", "", None]
    stage = scan_rows(home, [(url, "a rose", None) for url in urls])
    assert set(classes(stage)) == set(urls[:2])
    assert (stage.info()["naming a class"], stage.info()["no web URL"]) == (7, 5)


def test_tasks_whose_classes_differ_in_order_do_not_share_labels(home: Home) -> None:
    for task in (TASK, flowers("lily", "rose")):
        stage = scan_rows(home, [("http://u1", "a rose", None)], task)
        assert classes(stage, task) == {"http://u1": "rose"}


def test_a_pool_that_names_no_class_is_a_request_error(home: Home) -> None:
    pool = write_pool(home.root / "pool", [("http://u1", "a dog", None)])
    with pytest.raises(RequestError, match=r"no caption of the pool .* names a class of task"):
        download(pool, scan_pool(home, pool), DownloadOptions(), ImageFormat(), context(home, TASK))


def test_long_captions_are_read_up_to_a_limit(home: Home) -> None:
    rows: list[Row] = [
        ("http://near", "rose\0\x1b[2J" + "x" * 3 * MAX_CAPTION, None),
        ("http://far", "x" * MAX_CAPTION + " rose", None),
        ("http://far/too", "\u00e9" * MAX_CAPTION + " rose", None),
    ]
    kept = candidates(scan_rows(home, rows))
    assert kept["url"].to_list() == ["http://near"]
    assert kept["caption"].str.len_chars().to_list() == [MAX_CAPTION]


def class_in_plain_python(caption: str, queries: dict[str, str]) -> str | None:
    """The rule: the longest query wins, a tie is dropped."""
    accents = {code: None for code in range(0x300, 0x370)}
    text = unicodedata.normalize("NFKD", caption).translate(accents).lower()
    hits = {query for query in queries.values() if query.lower() in text}
    longest = [query for query in hits if len(query) == max(map(len, hits))]
    owners = [name for name, query in queries.items() if [query] == longest]
    return owners[0] if len(owners) == 1 else None


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    queries=st.lists(st.text("abA", min_size=1, max_size=3), min_size=1, max_size=6),
    texts=st.lists(st.text("abAB \u00e4\u0130\u00df", max_size=9), min_size=1, max_size=25),
)
def test_the_scan_equals_plain_python(home: Home, queries: list[str], texts: list[str]) -> None:
    names = {f"class {index}": query for index, query in enumerate(queries)}
    task = flowers(*names, **names)
    rows = [(f"http://u{index}", text, "UNLIKELY") for index, text in enumerate(texts)]
    lowered = {name: query.lower() for name, query in names.items()}
    expected = {url: class_in_plain_python(text, lowered) for url, text, _ in rows}
    assert classes(scan_rows(home, rows, task), task) == {
        url: name for url, name in expected.items() if name
    }


FOUR = flowers("rose", "lily", "marigold", "english marigold")
BOTH: list[Row] = [
    ("http://longest", "english marigold", None),
    ("http://tie", "rose, lily", "UNLIKELY"),
    ("http://one", "rose", None),
]


@pytest.mark.parametrize(
    ("ambiguous", "expected", "dropped"),
    [
        ("longest", "longest=english_marigold one=rose", 1),
        ("drop", "one=rose", 2),
        ("all", "longest=english_marigold longest=marigold tie=rose tie=lily one=rose", 0),
    ],
)
def test_ambiguous_captions(home: Home, ambiguous: Ambiguous, expected: str, dropped: int) -> None:
    stage = scan_rows(home, BOTH, FOUR, ambiguous)
    rows = labelled(stage, ambiguous)["url", "class_name"].rows()
    found = {f"{url.removeprefix('http://')}={name.replace(' ', '_')}" for url, name in rows}
    assert found == set(expected.split())
    assert (stage.info()["ambiguous"], stage.info()["ambiguous, dropped"]) == (2, dropped)


def test_an_image_of_several_classes_is_fetched_once_and_has_a_row_for_each(home: Home) -> None:
    stage = scan_rows(home, [*BOTH, ("http://tie", "a lily", None)], FOUR, "all")
    images = candidates(stage)
    assert images["key"].n_unique() == images.height == 3
    assert classes(stage, FOUR)["http://longest"] == "english marigold"
    rows = with_labels(images.select("key"), stage, "all")
    assert rows["key"].n_unique() == rows.height == 5
    assert set(images["key"]) < set(rows["key"])


def match_words(pool: Path | str, preset: str = "mini", task: str = "aircraft") -> tuple[str, ...]:
    return ("match", "--preset", preset, "--task", task, "--pool", str(pool))


def test_match_counts_classes_without_download(bench: Bench, home: Home, tmp_path: Path) -> None:
    rows: list[Row] = [("http://u1", "a Spitfire", None), ("http://u2", "spitfires", "UNSURE")]
    pool = write_pool(tmp_path / "pool", [*rows, ("http://u3", "my spitfires", None)])
    counted = bench(*match_words(pool.root), "--count", "--json").json
    assert counted["classes"]["Spitfire"] == {"hits": 2, "within words": 1}
    assert counted["classes"]["Tornado"] == {"hits": 0, "within words": 0}
    assert (counted["counts"]["rows"], counted["counts"]["flagged NSFW or UNSURE"]) == (3, 1)
    by_word = bench(*match_words(pool.root), "--json", "--set", "source.matcher=word").json
    spitfire = {"hits": 1, "within words": 0, "captions": ["a Spitfire"]}
    assert by_word["classes"]["Spitfire"] == spitfire
    assert {path.name.partition("-")[0] for path in home.data.iterdir()} == {"scan"}


def test_match_counts_names_within_longer_words_and_suggests_the_word_matcher(
    bench: Bench, tmp_path: Path
) -> None:
    captions = ["An-12 of 1960", "the An-124 Ruslan", "An-124-100", "a DC-30 drone", "a DC-3"]
    captions += ["An-124, not an An-12", "a Tornado"]
    pool = write_pool(tmp_path / "pool", [(f"http://u{i}", t, "") for i, t in enumerate(captions)])
    words = (*match_words(pool.root, "paper"), "--count")
    classes = bench(*words, "--json").json["classes"]
    within = {name: facts["within words"] for name, facts in classes.items() if facts["hits"]}
    assert within == {"An-12": 2, "DC-3": 1, "Tornado": 0}
    shown = bench(*words).out
    assert "part of a longer word in 3 of these captions (An-12 50%, DC-3 50%)" in shown
    assert "--set source.matcher=word" in shown
    assert "longer word" not in bench(*words, "--set", "source.matcher=word").out


def test_literal_queries_are_the_class_names_as_they_are(
    bench: Bench, home: Home, tmp_path: Path
) -> None:
    captions = ["a rose", "a desert rose flower", "the desert-rose", "coltsfoot"]
    rows = [(f"http://u{i}", text, "") for i, text in enumerate(captions)]
    pool = write_pool(tmp_path / "pool", rows)
    words = (*match_words(pool.root, "paper", "flowers"), "--count", "--json")

    def hits(*more: str) -> dict[str, int]:
        classes = bench(*words, *more).json["classes"]
        return {name: facts["hits"] for name, facts in classes.items() if facts["hits"]}

    assert hits() == {"desert-rose": 2, "colt's foot": 1}
    assert hits("--set", "source.queries=literal") == {"rose": 2, "desert-rose": 1}
    assert len(list(home.data.glob("scan-*"))) == 2


def test_match_shows_captions_that_a_terminal_does_not_obey(bench: Bench, tmp_path: Path) -> None:
    captions = [f"spitfire {i}\x1b]0;gotcha\x07\u202e" + "y" * 500 for i in range(9)]
    rows: list[Row] = [(f"http://u{i}", text, None) for i, text in enumerate(captions)]
    shown = bench(*match_words(write_pool(tmp_path / "pool", rows).root))
    assert shown.code == 0
    assert shown.out.count("gotcha") == 3
    assert shown.out.replace("\n", "").isprintable()
    assert max(map(len, shown.out.splitlines())) < 200


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--set", "source.matcher=fuzzy"), "matcher: invalid enum value 'fuzzy'"),
        (("--pool", "nowhere"), "there is no pool 'nowhere'"),
        (("--set", "source.match=word"), "did you mean matcher"),
    ],
)
def test_match_refuses_the_unknown(bench: Bench, words: tuple[str, ...], complaint: str) -> None:
    refused = bench("match", "--preset", "mini", "--task", "aircraft", *words)
    assert refused.code == 2
    assert complaint in refused.complaint
