"""The matchers: which classes a caption names, and which queries are refused."""

import re
from collections.abc import Callable
from itertools import product
from typing import get_args

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.errors import RequestError
from bench.core.task import Queries, Query, Task
from bench.tasks import find_task
from sources.pool import prefilter
from sources.pool.ambiguous import resolve
from sources.pool.entities import with_entities, without_entities
from sources.pool.flags import FLAGS
from sources.pool.match_file import Matches
from sources.pool.matcher import MAX_CAPTION, CaptionMatcher, Matcher
from sources.pool.normalize import normalize
from sources.pool.prefilter import Prefilter
from tests.support.pools import flowers

SMALL = settings(max_examples=60, deadline=None)
ALL = get_args(Matcher)
PHRASES = ("phrase", "all-words")


def named(task: Task, matcher: Matcher, caption: str) -> set[str]:
    """Return the classes that one caption names."""
    rows = CaptionMatcher(task, matcher).find(pl.Series([caption]))
    return {task.class_names[label] for label in rows["label"]}


@pytest.mark.parametrize(
    ("caption", "name", "matchers"),
    [
        ("a sweet pea", "sweet pea", ALL),
        ("SWEET PEAS", "sweet pea", ("substring",)),
        ("sweet-pea", "sweet pea", PHRASES),
        ("sweet tooth and pea soup", "sweet pea", ("all-words",)),
        ("pea, sweet", "sweet pea", ("all-words",)),
        ("F/A-18 Hornet", "F/A-18", ALL),
        ("F/A-18E Hornet", "F/A-18", ("substring",)),
        ("F A 18", "F/A-18", PHRASES),
        ("F/A\u201118", "F/A-18", ALL),
        ("18 f, a", "F/A-18", ("all-words",)),
        ("colt\u2019s foot", "colt's foot", ALL),
        ("primrose", "rose", ("substring",)),
        ("(rose)_", "rose", ALL),
        ("rose2", "rose", ("substring",)),
        ("rose\u00e9", "rose", ("substring",)),
        ("rose\u2122", "rose", ALL),
        ("\uffffrose\uffffs", "rose", ("substring",)),
    ],
)
def test_matchers_differ_by_words(caption: str, name: str, matchers: tuple[Matcher, ...]) -> None:
    task = flowers("sweet pea", "F/A-18", "colt's foot", "rose")
    for matcher in ALL:
        assert named(task, matcher, caption) == ({name} if matcher in matchers else set()), matcher


@pytest.mark.parametrize(
    "caption",
    [
        "colt&#39;s foot, wild",
        "COLT&#x27;S FOOT",
        "colt&apos;s foot",
        "colt&rsquo;s foot",
        "colt&#8217;s foot",
        "colt&amp;#39;s foot",
        "colt&amp;amp;rsquo;s&nbsp;foot",
        "colt&lsquo;s&#160;foot in \u00e9",
        "co&shy;lt's foot",
        "colt\u2019s\u00a0foot",
        "colt\u2019s \u200bfoot",
        "\u202acolt's\u202c foot",
        "\uff43\uff4f\uff4c\uff54\uff07\uff53\u3000\uff46\uff4f\uff4f\uff54",
        "colt's f&ouml;&oacute;t",
        "colt's f\u006f\u0301o\u0308t",
    ],
)
def test_a_name_is_found_however_a_web_page_writes_it(caption: str) -> None:
    task = flowers("colt's foot", "rose")
    for matcher in ALL:
        assert named(task, matcher, caption) == {"colt's foot"}, matcher
    # Among others, whose order stays.
    rows = CaptionMatcher(task, "substring").find(pl.Series(["a", None, caption, "&", "&rose;"]))
    assert set(rows.select("row", "label").iter_rows()) == {(2, 0), (4, 1)}


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("\u0baa\u0bca\u0bb0\u0bbf", "\u0baa\u0bc6\u0bbe\u0bb0\u0bbf"),  # A vowel of two parts.
        ("\uc7a5\ubbf8", "\u110c\u1161\u11bc\u1106\u1175"),  # Syllables, and their letters.
        ("\u304c", "\u304b\u3099"),
        ("\u0622\u064a\u0633", "\u0627\u0653\u064a\u0633"),
        ("\u095b\u0940\u0930\u093e", "\u091c\u093c\u0940\u0930\u093e"),
        (
            "\u03b1\u03bd\u03b1\u03bd\u03ac\u03c2",
            "\u0391\u039d\u0391\u039d\u0386\u03a3",
        ),  # A final sigma.
        ("wei\u00dfe Rose", "WEISSE ROSE"),
        ("wei\u00dfe Rose", "WEI\u1e9eE ROSE"),
    ],
)
def test_letters_are_the_same_in_one_character_or_several(name: str, caption: str) -> None:
    for query, text in ((name, caption), (caption, name)):
        for matcher in ALL:
            rows = CaptionMatcher(flowers(query, "lily"), matcher).find(pl.Series([f"{text}, 1"]))
            assert rows.select("row", "label").rows() == [(0, 0)], (matcher, query)


def test_a_syllable_is_not_found_in_another_that_begins_with_its_letters() -> None:
    assert named(flowers("\uc18c", "lily"), "substring", "\uc190") == set()


@pytest.mark.parametrize("name", ["black & white lily", "black &amp; white lily"])
def test_an_ampersand_of_a_class_is_one_of_a_caption(name: str) -> None:
    for caption in ("a black & white lily", "a black &amp; white lily", "black&#38; white lily"):
        assert named(flowers(name, "rose"), "substring", caption) <= {name}
    assert named(flowers(name, "rose"), "substring", "a black &amp; white lily") == {name}


def test_an_entity_beyond_what_is_read_of_a_caption_changes_nothing() -> None:
    start = "a rose ".ljust(MAX_CAPTION - 3, "x")
    assert named(flowers("rose", "lily"), "substring", f"{start}&#108;ily") == {"rose"}
    captions = pl.Series([None, f"{start}&#108;ily", "&#108;ily &amp;amp;amp; r&#111;se"])
    rows = CaptionMatcher(flowers("rose", "lily"), "substring").find(captions)
    assert set(rows.select("row", "label").rows()) == {(1, 0), (2, 0), (2, 1)}


def test_what_only_looks_like_an_entity_stays() -> None:
    texts = ["AT&T; a=1&copy=2", "&rose; &;", "&#;", "&#xD800;", "&#0;", "&#99999999;", "R&D", None]
    assert without_entities(pl.Series(texts)).to_list() == [
        *texts[:3], "\ufffd", "\ufffd", *texts[5:]
    ]  # fmt: skip


@given(st.lists(st.text("&amp;#39xlt ", max_size=20), max_size=5))
def test_captions_without_entities_are_left_alone(texts: list[str]) -> None:
    series = pl.Series(texts, dtype=pl.String)
    plain = without_entities(series)
    assert series.to_list() == texts
    assert without_entities(plain).equals(plain)
    changed = (series != plain).arg_true()
    assert set(changed) <= set(with_entities(series))


def names_in_plain_python(matcher: Matcher, query: str, caption: str) -> bool:
    """The matchers' definitions, on ASCII."""
    query, caption = query.lower(), caption.lower()
    words, caption_words = (re.findall("[a-z0-9]+", text) for text in (query, caption))
    if matcher == "substring":
        return query in caption
    if matcher == "word":
        bounded = rf"(?<![a-z0-9]){re.escape(query)}(?![a-z0-9])"
        return re.search(bounded, caption) is not None
    if matcher == "phrase":
        return f" {' '.join(words)} " in f" {' '.join(caption_words)} "
    return set(words) <= set(caption_words)


@SMALL
@given(
    matcher=st.sampled_from(ALL),
    queries=st.lists(
        st.from_regex(r"[abA1]([abA1 /'-]{0,4}[abA1])?", fullmatch=True),
        min_size=1, max_size=4, unique=True,
    ),
    captions=st.lists(st.text("abA1 /'-\x00\n", max_size=12), min_size=1, max_size=20),
)  # fmt: skip
def test_matchers_by_definition(matcher: Matcher, queries: list[str], captions: list[str]) -> None:
    rows = CaptionMatcher(flowers(*queries), matcher).find(pl.Series(captions))
    assert set(rows.select("row", "label").iter_rows()) == {
        (row, label)
        for row, caption in enumerate(captions)
        for label, query in enumerate(queries)
        if names_in_plain_python(matcher, query, caption)
    }


def test_ten_thousand_names_are_told_apart() -> None:
    names = [f"species {index:05d} of the wood" for index in range(10_000)]
    captions = [f"Species {index:05d} of the Wood, and more" for index in range(0, 10_000, 97)]
    matcher = CaptionMatcher(flowers(*names), "substring")
    rows = matcher.find(pl.Series([*captions, "a species", "wood"]))
    assert sorted(rows["label"]) == list(range(0, 10_000, 97))


@given(st.lists(st.text(max_size=20), max_size=5))
def test_normalization_leaves_ascii_alone_and_is_idempotent(texts: list[str]) -> None:
    normalized = normalize(pl.Series(texts, dtype=pl.String))
    assert normalize(normalized).equals(normalized)
    for text, result in zip(texts, normalized, strict=True):
        assert text == result or not text.isascii()


def test_letters_beyond_the_basic_plane_and_soft_hyphens_are_normalized() -> None:
    bold = "".join(chr(0x1D5EE + ord(letter) - ord("a")) for letter in "rose")
    assert normalize(pl.Series([bold, "ro\u00adse"])).to_list() == ["rose", "rose"]


@SMALL
@given(
    texts=st.lists(st.text("abB-. (\u0436", min_size=1, max_size=80), min_size=1, max_size=200),
    captions=st.lists(st.none() | st.text("abAB-. (\0\u0436", max_size=90), max_size=10),
    skipped=st.integers(0, 3),
)
def test_prefilters_miss_nothing(
    texts: list[str], captions: list[str | None], skipped: int
) -> None:
    ascii_lower = {code: code + 32 for code in range(65, 91)}
    passed, _ = Prefilter(texts)(pl.Series(captions, dtype=pl.String)[skipped:])
    assert passed.equals(passed.unique().sort())
    for row, caption in enumerate(captions[skipped:]):
        text = (caption or "").translate(ascii_lower)
        hit = any(item.translate(ascii_lower) in text for item in texts)
        assert row in passed or not hit


def test_the_prefilter_passes_few_captions_without_a_text() -> None:
    captions = pl.Series([None, "", "a rose", "", "a dai", "sy", "a DAISY", None])
    passed, _ = Prefilter(["daisy"])(captions)
    assert passed.to_list() == [5, 6]  # The first across a border.


def test_captions_are_searched_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = pl.Series(["a rose", ";", "x" * 50, "rose", None, "y", "a;b", "the last rose"])
    monkeypatch.setattr(prefilter, "CHUNK_BYTES", 9)
    passed, semicolons = Prefilter(["rose"])(captions)
    assert (passed.to_list(), semicolons.to_list()) == ([0, 3, 7], [1, 6])


@pytest.mark.parametrize(
    ("matcher", "caption", "names"),
    [
        ("substring", "Coltsfoot by the road", {"colt's foot"}),
        ("substring", "Rose Tyler with a lily", {"lily"}),
        ("word", "a rosa, flower of the year", {"rose"}),
        ("word", "a rosa, flowers of the year", set()),
    ],
)
def test_a_query_has_spellings_and_words(matcher: Matcher, caption: str, names: set[str]) -> None:
    queries: Queries = {
        "colt's foot": ("colt's foot", "coltsfoot"),
        "rose": Query(any=("rose", "rosa"), with_=("flower",)),
    }
    assert named(flowers("colt's foot", "rose", "lily", **queries), matcher, caption) == names


@pytest.mark.parametrize(
    ("queries", "complaint"),
    [
        ({"rose": "?!"}, "'\\?!' of class 'rose' has no letter or digit"),
        ({"rose": "\0rose"}, "NUL"),
    ],
)
def test_a_query_without_a_meaning_is_refused(queries: Queries, complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        CaptionMatcher(flowers("rose", "lily", **queries), "substring")


@pytest.mark.parametrize(
    ("task", "caption", "name"),
    [
        ("aircraft", "two FA-18 Hornets", "F/A-18"),
        ("aircraft", "a USAF F-16C taking off", "F-16A/B"),
        ("flowers", "Coltsfoot, Tussilago farfara", "colt's foot"),
        ("flowers", "a red rose, my favourite flower", "rose"),
        ("flowers", "Rose Byrne at the premiere", None),
        ("flowers", "air plant on a wall", "ball moss"),
        ("cars", "2012 Audi S5 Coupe for sale", "Audi S5 Coupe 2012"),
        ("cars", "Ram CV Cargo Van Minivan", "Ram C/V Cargo Van Minivan 2012"),
    ],
)
def test_the_paper_s_queries_are_as_captions_say(task: str, caption: str, name: str | None) -> None:
    assert named(find_task(task), "substring", caption) == ({name} if name else set())


@pytest.mark.parametrize("name", ["aircraft", "cars", "flowers"])
@pytest.mark.parametrize("matcher", ALL)
def test_every_class_of_the_paper_is_found_by_its_own_queries(name: str, matcher: Matcher) -> None:
    task = find_task(name)
    spoken = [
        (f"a {text}, {' '.join(query.with_)}", label)
        for label, query in enumerate(map(task.query, task.class_names))
        for text in query.any
    ]
    rows = CaptionMatcher(task, matcher).find(pl.Series([caption for caption, _ in spoken]))
    matches = set(rows["row", "label"].rows())
    assert {(row, label) for row, (_, label) in enumerate(spoken)} <= matches


def one_class(task: Task, captions: list[str]) -> list[str | None]:
    """Return the class that ``ambiguous=longest`` gives each caption to; None for none."""
    found = CaptionMatcher(task, "substring").find(pl.Series(captions))
    flags = [pl.lit(None, dtype).alias(name) for name, dtype in FLAGS.items()]
    pairs = found.rename({"length": "score"}).with_columns(*flags, url=pl.lit("http://u"))
    kept, _ = resolve(Matches(len(captions), True, pairs), "longest")
    classes = {row: task.class_names[label] for row, label in kept.select("row", "label").rows()}
    return [classes.get(row) for row in range(len(captions))]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        *product(("aircraft", "cars"), ("{}", "Used {} for sale", "my {}, photographed today")),
        *product(("flowers",), ("{} flower", "a flower: {}", "a photo of a {}, a type of flower.")),
    ],
)
@pytest.mark.parametrize("case", [str, str.lower, str.upper])
def test_a_caption_with_a_class_s_official_name_is_of_that_class(
    name: str, form: str, case: Callable[[str], str]
) -> None:
    task = find_task(name)
    captions = [case(form.format(each)) for each in task.class_names]
    assert one_class(task, captions) == list(task.class_names)


@pytest.mark.parametrize("form", ["{1} {0} for sale", "A {0} {1}", "{0}, {1}", "{0} ({1}), red"])
def test_a_year_tells_cars_of_one_name_apart(form: str) -> None:
    task = find_task("cars")
    captions = [form.format(*each.rsplit(" ", 1)) for each in task.class_names]
    assert one_class(task, captions) == list(task.class_names)
    # Without its year such a name is a tie, and every other name is a class's.
    bare = [each.rsplit(" ", 1)[0] for each in task.class_names]
    shared = [bare.count(each) > 1 for each in bare]
    expected = [
        None if twice else each for each, twice in zip(task.class_names, shared, strict=True)
    ]
    assert one_class(task, bare) == expected
    assert sum(shared) == 14
