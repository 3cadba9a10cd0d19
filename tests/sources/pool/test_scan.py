"""Pools and the scan over their captions: what is found, under which rule, and what is left out."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import fsspec
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.task import Queries, Query, Task
from bench.plugins.source import Context, Embedder
from bench.tasks import FolderTask, find_task
from sources.download.download import download
from sources.download.options import DownloadOptions
from sources.pool.ambiguous import Ambiguous
from sources.pool.matcher import MAX_CAPTION, CaptionMatcher, Matcher
from sources.pool.normalize import normalize
from sources.pool.pool import Pool
from sources.pool.prefilter import Prefilter
from sources.pool.scan import candidates, labelled, require_complete, scan, with_labels
from tests.conftest import Bench

QUIET = Progress(quiet=True)
SMALL = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
Row = tuple[str | None, str | None, str | None]


def no_embedder(name: str) -> Embedder:
    raise AssertionError(f"a scan loads no model, but {name} was asked for")


def context(home: Home, task: Task) -> Context:
    return Context(home, task, None, 0, no_embedder, QUIET)


def flowers(*names: str, **queries: str | tuple[str, ...] | Query) -> Task:
    return Task(
        name="flowers-of-the-test",
        version=1,
        class_names=names,
        templates=("a {}",),
        domain_texts=("a flower",),
        queries=queries,
    )


def write_pool(folder: Path, rows: Sequence[Row], files: int = 1) -> Pool:
    folder.mkdir(parents=True, exist_ok=True)
    table = pl.DataFrame(
        rows, schema={"URL": pl.String, "TEXT": pl.String, "NSFW": pl.String}, orient="row"
    )
    for part in range(files):
        table[part::files].write_parquet(folder / f"{part}.parquet")
    return Pool(str(folder), folder)


def found(
    pool: Pool,
    task: Task,
    home: Home,
    matcher: Matcher = "substring",
    ambiguous: Ambiguous = "longest",
) -> dict[str, str]:
    """Return URL to class name of what a scan finds."""
    rows = candidates(scan(pool, task, context(home, task), matcher, ambiguous))
    assert rows["label"].to_list() == [task.class_names.index(name) for name in rows["class_name"]]
    return dict(rows.select("url", "class_name").iter_rows())


def named(task: Task, matcher: Matcher, caption: str) -> set[str]:
    """Return the classes that one caption names."""
    rows = CaptionMatcher(task, matcher).find(pl.Series([caption]))
    return {task.class_names[label] for label in rows["label"]}


# ---------------------------------------------------------------- the paper's rule


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        ("A Rose in my garden", "rose"),
        ("ROSES!", "rose"),
        ("primrose", "rose"),
        ("marigold", "marigold"),
        ("an English Marigold", "english marigold"),
        ("english marigold next to a marigold and a rose", "english marigold"),
        ("a lily, and a rose", None),
        ("lily rose", None),
        ("a tulip", None),
        ("", None),
        (None, None),
        ("ros\u00e9", "rose"),
        ("RO\u017fE", "rose"),
        ("\uff32\uff2f\uff33\uff25", "rose"),
        ("ro\u200bse", "rose"),
        ("r\u0301ose", "rose"),
        ("r\u00f8se", None),
        ("\u0440\u043e\u0437\u0430", None),
        ("sea holly", "alpine sea holly"),
        ("alpine sea\u00a0holly", "alpine sea holly"),
    ],
)
def test_a_caption_goes_to_the_longest_name_it_contains(
    home: Home, tmp_path: Path, caption: str | None, name: str | None
) -> None:
    task = flowers(
        "rose", "lily", "marigold", "english marigold", "alpine sea holly",
        **{"alpine sea holly": "Sea Holly"},
    )  # fmt: skip
    pool = write_pool(tmp_path / "pool", [("http://x/1", caption, "UNLIKELY")])
    assert found(pool, task, home) == ({"http://x/1": name} if name else {})


def test_names_that_share_a_query_are_never_told_apart(home: Home, tmp_path: Path) -> None:
    task = flowers("rose", "tea rose", "lily", **{"tea rose": "Rose"})
    pool = write_pool(
        tmp_path / "pool", [("http://u1", "a rose", None), ("http://u2", "a lily", None)]
    )
    assert found(pool, task, home) == {"http://u2": "lily"}


def test_flagged_pairs_are_dropped_and_counted(home: Home, tmp_path: Path) -> None:
    flags = ["UNLIKELY", "UNSURE", "NSFW", None, "unsure"]
    rows: list[Row] = [(f"http://u{i}", "a rose", flag) for i, flag in enumerate(flags)]
    rows += [("http://u8", "a rose, a lily", "UNLIKELY"), ("http://u9", "a dog", "UNLIKELY")]
    task = flowers("rose", "lily")
    stage = scan(write_pool(tmp_path / "pool", rows, files=2), task, context(home, task))
    assert set(candidates(stage)["url"]) == {"http://u0", "http://u3"}
    assert stage.info() == {
        "rows": 7,
        "without an NSFW column": 0,
        "naming a class": 6,
        "no web URL": 0,
        "ambiguous": 1,
        "ambiguous, dropped": 1,
        "flagged NSFW or UNSURE": 3,
        "duplicate URLs": 0,
        "incomplete": [],
    }


def test_an_address_is_kept_once_even_across_files(home: Home, tmp_path: Path) -> None:
    rows: list[Row] = [("http://u1", f"rose {index}", "UNLIKELY") for index in range(5)]
    pool = write_pool(tmp_path / "pool", [*rows, ("http://u2", "rose", "UNLIKELY")], files=3)
    assert found(pool, flowers("rose", "lily"), home) == {"http://u1": "rose", "http://u2": "rose"}


def test_only_web_addresses_are_candidates(home: Home, tmp_path: Path) -> None:
    urls = ["http://a/1", "HTTPS://a/2", "file:///etc/passwd", "ftp://a/3", "a/4", "", None]
    task = flowers("rose", "lily")
    pool = write_pool(tmp_path / "pool", [(url, "a rose", None) for url in urls])
    stage = scan(pool, task, context(home, task))
    assert set(candidates(stage)["url"]) == set(urls[:2])
    assert (stage.info()["naming a class"], stage.info()["no web URL"]) == (7, 5)


def test_tasks_whose_classes_differ_in_order_do_not_share_labels(
    home: Home, tmp_path: Path
) -> None:
    pool = write_pool(tmp_path / "pool", [("http://u1", "a rose", None)])
    assert found(pool, flowers("rose", "lily"), home) == {"http://u1": "rose"}
    assert found(pool, flowers("lily", "rose"), home) == {"http://u1": "rose"}


def test_a_pool_that_names_no_class_is_a_request_error(home: Home, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [("http://u1", "a dog", None)])
    task = flowers("rose", "lily")
    options = DownloadOptions()
    with pytest.raises(RequestError, match=r"no caption of the pool .* names a class of task"):
        download(pool, scan(pool, task, context(home, task)), options, context(home, task))


def test_long_captions_are_read_up_to_a_limit(home: Home, tmp_path: Path) -> None:
    pool = write_pool(
        tmp_path / "pool",
        [
            ("http://near", "rose\0\x1b[2J" + "x" * 3 * MAX_CAPTION, None),
            ("http://far", "x" * MAX_CAPTION + " rose", None),
            ("http://far/too", "\u00e9" * MAX_CAPTION + " rose", None),
        ],
    )
    task = flowers("rose", "lily")
    rows = candidates(scan(pool, task, context(home, task)))
    assert rows["url"].to_list() == ["http://near"]
    assert rows["caption"].str.len_chars().to_list() == [MAX_CAPTION]


def by_hand(caption: str, queries: dict[str, str]) -> str | None:
    """The rule in plain Python: the longest query wins, a tie is dropped."""
    accents = {code: None for code in range(0x300, 0x370)}
    text = unicodedata.normalize("NFKD", caption).translate(accents).lower()
    hits = {query for query in queries.values() if query.lower() in text}
    longest = [query for query in hits if len(query) == max(map(len, hits))]
    owners = [name for name, query in queries.items() if [query] == longest]
    return owners[0] if len(owners) == 1 else None


@SMALL
@given(
    queries=st.lists(st.text("abA", min_size=1, max_size=3), min_size=1, max_size=6),
    texts=st.lists(st.text("abAB \u00e4\u0130\u00df", max_size=9), min_size=1, max_size=25),
)
def test_the_scan_equals_the_rule_written_out_by_hand(
    home: Home, tmp_path_factory: pytest.TempPathFactory, queries: list[str], texts: list[str]
) -> None:
    names = {f"class {index}": query for index, query in enumerate(queries)}
    task = flowers(*names, **names)
    rows = [(f"http://u{index}", text, "UNLIKELY") for index, text in enumerate(texts)]
    pool = write_pool(tmp_path_factory.mktemp("pool"), rows)
    lowered = {name: query.lower() for name, query in names.items()}
    expected = {f"http://u{index}": by_hand(text, lowered) for index, text in enumerate(texts)}
    assert found(pool, task, home) == {url: name for url, name in expected.items() if name}


# ---------------------------------------------------------------- matchers

NAMES = ("sweet pea", "F/A-18", "colt's foot", "rose")
SPOKEN: dict[str, dict[Matcher, set[str]]] = {
    "a sweet pea": {m: {"sweet pea"} for m in ("substring", "word", "phrase", "all-words")},
    "SWEET PEAS": {"substring": {"sweet pea"}},
    "sweet-pea": {"phrase": {"sweet pea"}, "all-words": {"sweet pea"}},
    "sweet tooth and pea soup": {"all-words": {"sweet pea"}},
    "pea, sweet": {"all-words": {"sweet pea"}},
    "F/A-18 Hornet": {m: {"F/A-18"} for m in ("substring", "word", "phrase", "all-words")},
    "F/A-18E Hornet": {"substring": {"F/A-18"}},
    "F A 18": {"phrase": {"F/A-18"}, "all-words": {"F/A-18"}},
    "F/A\u201118": {m: {"F/A-18"} for m in ("substring", "word", "phrase", "all-words")},
    "18 f, a": {"all-words": {"F/A-18"}},
    "colt\u2019s foot": {m: {"colt's foot"} for m in ("substring", "word", "phrase", "all-words")},
    "primrose": {"substring": {"rose"}},
    "(rose)_": {m: {"rose"} for m in ("substring", "word", "phrase", "all-words")},
    "rose2": {"substring": {"rose"}},
    "rose\u00e9": {"substring": {"rose"}},
    "rose\u2122": {m: {"rose"} for m in ("substring", "word", "phrase", "all-words")},
    "\uffffrose\uffffs": {"substring": {"rose"}},
}


@pytest.mark.parametrize("matcher", ["substring", "word", "phrase", "all-words"])
@pytest.mark.parametrize("caption", SPOKEN)
def test_every_matcher_keeps_its_word(caption: str, matcher: Matcher) -> None:
    assert named(flowers(*NAMES), matcher, caption) == SPOKEN[caption].get(matcher, set())


def spoken(matcher: Matcher, query: str, caption: str) -> bool:
    """The matchers in plain Python, on ASCII."""
    query, caption = query.lower(), caption.lower()
    words = re.findall("[a-z0-9]+", query)
    if matcher == "substring":
        return query in caption
    if matcher == "word":
        bounded = rf"(?<![a-z0-9]){re.escape(query)}(?![a-z0-9])"
        return re.search(bounded, caption) is not None
    if matcher == "phrase":
        return f" {' '.join(words)} " in f" {' '.join(re.findall('[a-z0-9]+', caption))} "
    return set(words) <= set(re.findall("[a-z0-9]+", caption))


@SMALL
@given(
    matcher=st.sampled_from(["substring", "word", "phrase", "all-words"]),
    queries=st.lists(
        st.from_regex(r"[abA1]([abA1 /'-]{0,4}[abA1])?", fullmatch=True),
        min_size=1, max_size=4, unique=True,
    ),
    captions=st.lists(st.text("abA1 /'-\x00\n", max_size=12), min_size=1, max_size=20),
)  # fmt: skip
def test_matchers_equal_their_definitions(
    matcher: Matcher, queries: list[str], captions: list[str]
) -> None:
    rows = CaptionMatcher(flowers(*queries), matcher).find(pl.Series(captions))
    assert set(rows.select("row", "label").iter_rows()) == {
        (row, label)
        for row, caption in enumerate(captions)
        for label, query in enumerate(queries)
        if spoken(matcher, query, caption)
    }


@given(st.lists(st.text(max_size=20), max_size=5))
def test_folding_leaves_ascii_alone_and_is_done_at_once(texts: list[str]) -> None:
    folded = normalize(pl.Series(texts, dtype=pl.String))
    assert normalize(folded).equals(folded)
    for text, result in zip(texts, folded, strict=True):
        assert text == result or not text.isascii()


@SMALL
@given(
    texts=st.lists(st.text("abB-. (\u0436", min_size=1, max_size=80), min_size=1, max_size=200),
    captions=st.lists(st.none() | st.text("abAB-. (\0\u0436", max_size=90), max_size=10),
    skipped=st.integers(0, 3),
)
def test_the_prefilter_misses_nothing(
    texts: list[str], captions: list[str | None], skipped: int
) -> None:
    ascii_lower = {code: code + 32 for code in range(65, 91)}
    passed = Prefilter(texts)(pl.Series(captions, dtype=pl.String)[skipped:])
    assert passed.equals(passed.unique().sort())
    for place, caption in enumerate(captions[skipped:]):
        text = (caption or "").translate(ascii_lower)
        hit = any(item.translate(ascii_lower) in text for item in texts)
        assert place in passed or not hit


def test_the_prefilter_passes_few_captions_without_a_text() -> None:
    captions = pl.Series([None, "", "a rose", "", "a dai", "sy", "a DAISY", None])
    assert Prefilter(["daisy"])(captions).to_list() == [5, 6]  # The first across a border.


def test_ten_thousand_names_are_told_apart() -> None:
    names = [f"species {index:05d} of the wood" for index in range(10_000)]
    captions = [f"Species {index:05d} of the Wood, and more" for index in range(0, 10_000, 97)]
    rows = CaptionMatcher(flowers(*names), "substring").find(
        pl.Series([*captions, "a species", "wood"])
    )
    assert sorted(rows["label"]) == list(range(0, 10_000, 97))


# ---------------------------------------------------------------- queries


def test_a_query_may_have_spellings_and_further_words() -> None:
    queries: Queries = {
        "colt's foot": ("colt's foot", "coltsfoot"),
        "rose": Query(any=("rose", "rosa"), with_=("flower",)),
    }
    task = flowers("colt's foot", "rose", "lily", **queries)
    assert named(task, "substring", "Coltsfoot by the road") == {"colt's foot"}
    assert named(task, "substring", "Rose Tyler with a lily") == {"lily"}
    assert named(task, "word", "a rosa, flower of the year") == {"rose"}
    assert named(task, "word", "a rosa, flowers of the year") == set()


def test_a_folder_declares_queries_in_every_form(colours: Path, tmp_path: Path) -> None:
    root = tmp_path / "colours"
    root.mkdir()
    for split in ("train", "val", "test"):
        (root / split).symlink_to(colours / split)
    names = FolderTask.load(root).class_names
    first, second = names[:2]
    queries = {first: {"any": ["x"], "with": ["y"]}, second: ["z", "w"]}
    (root / "task.yaml").write_text(yaml.safe_dump({"queries": queries}))
    task = FolderTask.load(root)
    assert [task.query(name) for name in names] == [
        Query(any=("x",), with_=("y",)),
        Query(any=("z", "w")),
        *(Query(any=(name,)) for name in names[2:]),
    ]


@pytest.mark.parametrize(
    ("queries", "complaint"),
    [
        ({"rosa": "rose"}, "unknown class .*'rosa'; did you mean rose"),
        ({"rose": "?!"}, "'\\?!' of class 'rose' has no letter or digit"),
        ({"rose": ""}, "has no letter or digit"),
        ({"rose": "\0rose"}, "or a NUL"),
        ({"rose": ()}, "the query of class 'rose' is empty"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(queries: Queries, complaint: str) -> None:
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
def test_the_tasks_of_the_paper_have_queries_that_captions_use(
    task: str, caption: str, name: str | None
) -> None:
    assert named(find_task(task), "substring", caption) == ({name} if name else set())


@pytest.mark.parametrize("name", ["aircraft", "cars", "flowers"])
@pytest.mark.parametrize("matcher", ["substring", "word", "phrase", "all-words"])
def test_every_class_of_the_paper_is_found_by_its_own_queries(name: str, matcher: Matcher) -> None:
    task = find_task(name)
    spoken = [
        (f"a {text}, {' '.join(query.with_)}", label)
        for label, query in enumerate(map(task.query, task.class_names))
        for text in query.any
    ]
    rows = CaptionMatcher(task, matcher).find(pl.Series([caption for caption, _ in spoken]))
    found = set(rows["row", "label"].rows())
    assert {(row, label) for row, (_, label) in enumerate(spoken)} <= found


# ---------------------------------------------------------------- several classes

BOTH: list[Row] = [
    ("http://longest", "english marigold", None),
    ("http://tie", "rose, lily", "UNLIKELY"),
    ("http://one", "rose", None),
]


@pytest.mark.parametrize(
    ("ambiguous", "expected", "dropped"),
    [
        ("longest", {("longest", "english marigold"), ("one", "rose")}, 1),
        ("drop", {("one", "rose")}, 2),
        (
            "all",
            {
                ("longest", "english marigold"), ("longest", "marigold"),
                ("tie", "rose"), ("tie", "lily"), ("one", "rose"),
            },
            0,
        ),
    ],
)  # fmt: skip
def test_a_caption_of_several_classes_goes_where_it_is_told(
    home: Home, tmp_path: Path, ambiguous: Ambiguous, expected: set[tuple[str, str]], dropped: int
) -> None:
    task = flowers("rose", "lily", "marigold", "english marigold")
    stage = scan(
        write_pool(tmp_path / "pool", BOTH), task, context(home, task), "substring", ambiguous
    )
    rows = labelled(stage, ambiguous)
    found = {(url.removeprefix("http://"), name) for url, name in rows["url", "class_name"].rows()}
    assert found == expected
    assert stage.info()["ambiguous"] == 2
    assert stage.info()["ambiguous, dropped"] == dropped


def test_an_image_of_several_classes_is_fetched_once_and_has_a_row_for_each(
    home: Home, tmp_path: Path
) -> None:
    task = flowers("rose", "lily", "marigold", "english marigold")
    pool = write_pool(tmp_path / "pool", [*BOTH, ("http://tie", "a lily", None)])
    stage = scan(pool, task, context(home, task), "substring", "all")
    fetched = candidates(stage)
    assert fetched["key"].n_unique() == fetched.height == 3
    assert dict(fetched["url", "class_name"].rows())["http://longest"] == "english marigold"
    rows = with_labels(fetched.select("key"), stage, "all")
    assert rows["key"].n_unique() == rows.height == 5
    assert set(fetched["key"]) < set(rows["key"])


# ---------------------------------------------------------------- pools


def test_columns_go_by_any_case_and_nsfw_may_be_absent(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    folder.mkdir()
    for index, columns in enumerate((("url", "caption", "nsfw"), ("Url", "Text", "other"))):
        row = dict(zip(columns, (f"http://u{index}", "a rose", "NSFW"), strict=True))
        pl.DataFrame([row]).write_parquet(folder / f"{index}.parquet")
    task = flowers("rose", "lily")
    stage = scan(Pool.find(str(folder), home), task, context(home, task))
    assert candidates(stage)["url"].to_list() == ["http://u1"]
    assert stage.info()["without an NSFW column"] == 1


def test_other_columns_are_declared(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    folder.mkdir()
    rows = {"link": ["http://u1", "http://u2"], "alt": ["a rose", "rose"], "r": ["OK", "NSFW"]}
    pl.DataFrame(rows).write_parquet(folder / "0.parquet")
    declaration = {"columns": {"url": "link", "caption": "alt", "nsfw": "r"}}
    (folder / "pool.yaml").write_text(yaml.safe_dump(declaration))
    task = flowers("rose", "lily")
    assert found(Pool.find(str(folder), home), task, home) == {"http://u1": "rose"}
    del declaration["columns"]["nsfw"]
    (folder / "pool.yaml").write_text(yaml.safe_dump(declaration))
    assert len(found(Pool.find(str(folder), home), task, home)) == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("columns: {link: a}", "columns: object contains unknown field `link`"),
        ("- a", "does not hold a mapping"),
        ("columns: {url: a}", "missing required field `caption`"),
    ],
)
def test_a_wrong_declaration_is_found_before_any_work(
    home: Home, tmp_path: Path, text: str, complaint: str
) -> None:
    write_pool(tmp_path / "pool", [("http://u1", "a rose", None)])
    (tmp_path / "pool" / "pool.yaml").write_text(text)
    with pytest.raises(RequestError, match=complaint):
        Pool.find(str(tmp_path / "pool"), home)


def spoilt_pool(folder: Path) -> Pool:
    """One good file, and one of every kind that cannot be scanned."""
    rows: list[Row] = [(f"http://u{i}", f"rose {i}", None) for i in range(200)]
    pool = write_pool(folder, rows)
    whole = (folder / "0.parquet").read_bytes()
    (folder / "1.parquet").write_bytes(whole[:-20])
    (folder / "2.parquet").write_bytes(whole[:100] + bytes(300) + whole[400:])
    (folder / "3.parquet").write_bytes(b"")
    pl.read_parquet(folder / "0.parquet").head(0).write_parquet(folder / "4.parquet")
    pl.DataFrame({"link": ["u"], "TEXT": ["rose"]}).write_parquet(folder / "5.parquet")
    pl.DataFrame({"URL": ["u"], "TEXT": [1]}).write_parquet(folder / "6.parquet")
    return pool


def test_files_that_cannot_be_scanned_are_named_and_the_scan_is_incomplete(
    home: Home, tmp_path: Path
) -> None:
    task = flowers("rose", "lily")
    stage = scan(spoilt_pool(tmp_path / "pool"), task, context(home, task))
    incomplete: list[str] = stage.info()["incomplete"]
    assert [line.partition(":")[0] for line in incomplete] == [f"{i}.parquet" for i in range(1, 7)]
    assert all("\n" not in line for line in incomplete)
    assert incomplete[3:] == [
        "4.parquet: it has no rows",
        "5.parquet: it has no columns URL and TEXT, but link, TEXT",
        "6.parquet: its column 'TEXT' is Int64, not text",
    ]
    assert (candidates(stage).height, stage.info()["rows"]) == (200, 200)
    with pytest.raises(BenchError, match=r"6 of the .* 1\.parquet: .*; …; .*--allow-incomplete"):
        require_complete(stage)


def test_a_run_refuses_an_incomplete_pool_until_it_is_allowed(
    bench: Bench, preset: Path, tmp_path: Path
) -> None:
    spoilt_pool(tmp_path / "pool")
    for index in (1, 2, 3, 4, 6):
        (tmp_path / "pool" / f"{index}.parquet").unlink()
    words = ("build", "--preset", str(preset), "--source", "retrieved", "--task", "aircraft",
             "--set", f"source.pool={tmp_path / 'pool'}")  # fmt: skip
    refused = bench(*words)
    assert refused.code == 1
    assert "1 of the pool's files could not be scanned: 5.parquet: it has no columns" in refused.err
    allowed = bench(*words, "--allow-incomplete")
    assert "no caption of the pool" in allowed.err


def test_a_remote_pool_is_scanned_as_a_local_one_and_not_kept(home: Home, tmp_path: Path) -> None:
    rows: list[Row] = [("http://u1", "a rose", None), ("http://u2", "a lily", "NSFW")]
    write_pool(tmp_path / "pool", rows, files=2)
    remote = fsspec.filesystem("memory")
    remote.put(str(tmp_path / "pool"), "/some/pool", recursive=True)
    try:
        task = flowers("rose", "lily")
        pool = Pool.find("memory://some/pool", home)
        assert found(pool, task, home) == {"http://u1": "rose"}
        assert not list(home.data.rglob("copy"))
        remote.pipe("/some/pool/pool.yaml", b"columns: {url: URL, caption: TEXT}")
        declared = Pool.find("memory://some/pool", home)
        assert declared.fingerprint != pool.fingerprint
        assert len(found(declared, task, home)) == 2
    finally:
        remote.rm("/some", recursive=True)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("memory://nowhere", "cannot list memory://nowhere"),
        ("nothing://a/b", "cannot list nothing://a/b: .*[Pp]rotocol"),
    ],
)
def test_a_remote_pool_that_is_not_there_is_a_wrong_request(
    home: Home, url: str, complaint: str
) -> None:
    with pytest.raises(RequestError, match=complaint):
        Pool.find(url, home)


# ---------------------------------------------------------------- bench match


def test_match_counts_every_class_and_downloads_nothing(
    bench: Bench, home: Home, tmp_path: Path
) -> None:
    rows: list[Row] = [("http://u1", "a Spitfire", None), ("http://u2", "spitfires", "UNSURE")]
    write_pool(tmp_path / "pool", [*rows, ("http://u3", "my spitfires", None)])
    words = ("match", "--preset", "mini", "--task", "aircraft", "--pool", str(tmp_path / "pool"))
    counted = bench(*words, "--count", "--json").json
    assert counted["classes"]["Spitfire"] == {"hits": 2}
    assert counted["classes"]["Tornado"] == {"hits": 0}
    assert (counted["counts"]["rows"], counted["counts"]["flagged NSFW or UNSURE"]) == (3, 1)
    by_word = bench(*words, "--json", "--set", "source.matcher=word").json
    assert by_word["classes"]["Spitfire"] == {"hits": 1, "captions": ["a Spitfire"]}
    assert {path.name.partition("-")[0] for path in home.data.iterdir()} == {"scan"}


def test_match_shows_captions_that_a_terminal_does_not_obey(bench: Bench, tmp_path: Path) -> None:
    captions = [f"spitfire {i}\x1b]0;gotcha\x07\u202e" + "y" * 500 for i in range(9)]
    write_pool(tmp_path / "pool", [(f"http://u{i}", text, None) for i, text in enumerate(captions)])
    words = ("match", "--preset", "mini", "--task", "aircraft", "--pool", str(tmp_path / "pool"))
    shown = bench(*words)
    assert shown.code == 0
    assert shown.out.count("gotcha") == 3
    assert shown.out.replace("\n", "").isprintable()
    assert max(map(len, shown.out.splitlines())) < 200


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--set", "source.matcher=fuzzy"), "matcher: invalid enum value 'fuzzy'"),
        (("--pool", "nowhere"), "the pool 'nowhere' is not here"),
        (("--set", "source.match=word"), "unknown setting of the source retrieved 'match'"),
    ],
)
def test_match_refuses_what_is_not_there(
    bench: Bench, words: tuple[str, ...], complaint: str
) -> None:
    refused = bench("match", "--preset", "mini", "--task", "aircraft", *words)
    assert refused.code == 2
    assert complaint in refused.complaint
