"""Captions of one's own: what is read, and how what is unfit is refused."""

import contextlib
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.core.errors import BenchError, RequestError
from bench.core.files import read_parquet
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.plugins import writer_of
from bench.storage.stage import Stage
from sources.captions.file_reader import MAX_LINE, read_captions
from sources.captions.table import caption_counts, caption_rows
from tests.conftest import Bench
from tests.support.captions import write_block
from tests.support.command_line import refusal
from tests.support.language_models import SHAPES

OWN = [
    {"class": "circle", "caption": "a  circle\tin chalk "},
    {"class": "star", "caption": "étoile, a “star” 漢字"},
    {"class": "square", "caption": 'a square, "framed"'},
    {"class": "star", "caption": "star"},
]


def as_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    path = path.with_suffix(".csv")
    pl.DataFrame(rows).write_csv(path, include_bom=True)
    return path


def as_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path = path.with_suffix(".jsonl")
    path.write_text("\n\n".join(map(json.dumps, rows)))
    return path


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    path = path.with_suffix(".parquet")
    pl.DataFrame(rows).with_columns(other=pl.lit(1)).write_parquet(path)
    return path


def parquet(**columns: object) -> bytes:
    stream = io.BytesIO()
    pl.DataFrame(columns).write_parquet(stream)
    return stream.getvalue()


Write = Callable[[Path, list[dict[str, Any]]], Path]


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_parquet])
def test_each_format_holds_the_same_captions(tmp_path: Path, write: Write) -> None:
    found = read_captions(write(tmp_path / "own", OWN), SHAPES)
    texts = ["a circle in chalk", "étoile, a “star” 漢字", 'a square, "framed"', "star"]
    assert [(caption.label, caption.text) for caption in found] == [
        *zip((0, 2, 1, 2), texts, strict=True)
    ]
    by_label = [{"label": caption.label, "caption": caption.text} for caption in found]
    assert read_captions(write(tmp_path / "labels", by_label), SHAPES) == found


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"Caption;Class\na star, in chalk;star\n"),
        ("a.tsv", b"class\tcaption\tother\r\nstar\ta star, in chalk\tx\r\n"),
        ("a.CSV", b" CLASS | caption\nstar|a star, in chalk\n"),
        ("a.csv", 'label,caption\n2,"a star,\n in chalk"\n'.encode("utf-16")),
        ("a.csv", b'\xef\xbb\xbfcaption,class\r\r"a star, in chalk",star\r'),
        ("a.ndjson", b'{"CAPTION": "a star, in chalk", "Label": 2}'),
        (
            "a.parquet",
            parquet(Caption=pl.Series(["a star, in chalk"], dtype=pl.Categorical), LABEL=[2]),
        ),
    ],
)  # fmt: skip
def test_columns_are_found_whatever_their_capitals_and_separator(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    (caption,) = read_captions(tmp_path / name, SHAPES)
    assert (caption.label, caption.text) == (2, "a star, in chalk")


def by_file(home: Home, path: Path, size: int = 10, blocks: int = 1) -> list[Stage]:
    options: Json = {"writer": "file", "options": {"path": str(path)}, "block_size": size}
    stages: list[Stage] = []
    for _ in range(blocks):
        stages.append(write_block(home, SHAPES, earlier=stages, **options))
    return stages


def test_every_caption_is_used_once_before_any_comes_back(home: Home, tmp_path: Path) -> None:
    own = [{"label": at % 3, "caption": f"{SHAPES.class_names[at % 3]} {at}"} for at in range(25)]
    stages = by_file(home, as_csv(tmp_path / "own", own), blocks=3)
    found = pl.concat(map(caption_rows, stages))
    assert set(found[:25]["caption"]) == {row["caption"] for row in own}
    assert Counter(Counter(found["caption"]).values()) == {1: 20, 2: 5}
    assert found["fault"].drop_nulls().to_list() == ["copy"] * 5
    assert caption_counts(stages)["own"]["copies kept"] == 5
    # The classes are mixed, whatever the order of the file.
    assert found[:10]["label"].n_unique() == 3


def test_a_word_that_is_changed_anywhere_makes_other_captions(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    rows = [f"star,star {at:06d} {'x' * 90}" for at in range(24_000)]
    pins = []
    for word in ("calm", "wild"):
        rows[12_000] = f"star,a {word} star"
        path.write_text("class,caption\n" + "\n".join(rows))
        pins.append(writer_of("file", {"path": str(path)}).config(home))
    assert pins[0] != pins[1]


def test_a_caption_without_its_class_is_left_out_and_counted(home: Home, tmp_path: Path) -> None:
    own = [{"class": "star", "caption": f"a star {at}"} for at in range(8)]
    own += [{"class": "star", "caption": "a comet"}, {"class": "circle", "caption": "a star"}]
    [stage] = by_file(home, as_jsonl(tmp_path / "own", own))
    assert caption_rows(stage).height == 8
    assert caption_counts([stage])["own"]["given up"] == {"class unnamed": 2}
    foreign = [{"class": "star", "caption": f"ein Stern {at}"} for at in range(10)]
    with pytest.raises(BenchError, match="writer file are unfit: of 10, 10 class unnamed"):
        by_file(home, as_jsonl(tmp_path / "foreign", foreign))


def test_another_file_is_another_stage(home: Home, tmp_path: Path) -> None:
    path = as_csv(tmp_path / "own", OWN)
    [first] = by_file(home, path)
    as_csv(tmp_path / "own", OWN[:3])
    [second] = by_file(home, path)
    assert first.key != second.key


GOOD = '{"class": "star", "caption": "a star"}\n'


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.txt", "star", r"is not a caption file; give .csv, .tsv, .jsonl, .ndjson, .parquet"),
        ("a.csv.gz", b"\x1f\x8b", r"a.csv.gz is not a caption file; unpack it"),
        ("a.csv", "", "has no captions"),
        ("a.csv", "class,caption\n", "has no captions"),
        ("a.csv", "class,text\nstar,a star\n", "columns 'class', 'text'; name two of them caption"),
        ("a.csv", "class, text\n", "a.csv: it has the columns 'class', ' text'; name two"),
        ("a.csv", "sep=;\nclass;caption\n", "it has the columns 'sep=;'"),
        ("a.csv", "Class,caption,class\nstar,a,b\n", "a.csv: there are 2 columns 'class'"),
        ("a.csv", "class,caption\nstar,a star, in chalk\n", "has 3 fields, its header 2; put"),
        ("a.csv", "class,caption\nstar\n", "line 2 has no caption"),
        ("a.csv", GOOD, "is not CSV but JSON Lines; name it .jsonl"),
        ("a.csv", b"class,caption\nstar,a st\xe4r\n", "not UTF-8; .* Latin-1: iconv"),
        ("a.csv", "label,caption\n2.0,a star\n", "neither a class nor a label, but label '2.0'"),
        ("a.jsonl", '{"Caption": "a", "caption": "b"}', "line 1: there are 2 columns 'caption'"),
        ("a.parquet", parquet(text=["star"], label=[2]), "it has the columns 'text', 'label'"),
        ("a.csv", "klass,caption\nstar,a star\n", "it has the columns 'klass', 'caption'"),
        ("a.csv", "class,caption\nstar,star\nstarr,star\n", "line 3: 'starr'; did you mean star"),
        ("a.csv", "label,caption\n3,a star\n", "line 2: label 3 is none of the task's; .* 0 to 2"),
        ("a.csv", "label,caption\n-1,a star\n", "line 2 has neither a class nor a label"),
        ("a.csv", "label,caption\n1e0,a star\n", "line 2 has neither a class nor a label"),
        ("a.csv", 'class,caption\nstar,"a star\n', "is not CSV after line 1"),
        ("a.csv", "class,caption\nstar,a star\x00\n", "line 2"),
        ("a.csv", b"class,caption\nstar,\xff\xfe star\n", "line 1 or later is not UTF-8"),
        ("a.csv", f"class,caption\nstar,{'s' * 301}\n", "line 2: the caption is unfit: too long"),
        ("a.csv", "class,caption\nstar,\n", "line 2: the caption is unfit: empty"),
        ("a.csv", f"class,caption\n{'s' * (MAX_LINE + 1)}", "line 2 is longer than 100000 char"),
        ("a.jsonl", GOOD + "{", "line 2 is not JSON"),
        ("a.jsonl", GOOD + "[" * 50_000, "line 2 is not JSON"),
        ("a.jsonl", GOOD + "[1]", "line 2 is not a JSON object"),
        ("a.jsonl", GOOD + '{"class": "star", "caption": 5}', "line 2 has no caption"),
        ("a.jsonl", GOOD + '{"class": 1, "caption": "a star"}', "line 2 has neither"),
        ("a.jsonl", GOOD + '{"label": true, "caption": "a star"}', "line 2 has neither"),
        ("a.jsonl", GOOD + '{"label": NaN, "caption": "a star"}', "line 2 has neither"),
        ("a.jsonl", GOOD + f'{{"label": {"9" * 9999}, "caption": "a"}}', "line 2 is not JSON"),
        ("a.jsonl", GOOD + r'{"label": 2, "caption": "star \ud800"}', "line 2: .* printable"),
        ("a.jsonl", GOOD + r'{"label": 2, "caption": "star \u001b"}', "line 2: .* printable"),
        ("a.jsonl", GOOD + '{"label": 2, "caption": "star => star"}', "line 2: .* alone"),
        ("a.parquet", "no Parquet at all", "is not Parquet"),
        ("a.parquet", parquet(**{"class": ["star"], "caption": [5]}), "line 1 has no caption"),
        ("a.parquet", parquet(**{"class": ["star"], "caption": ["star"]})[:-20], "is not Parquet"),
    ],
)  # fmt: skip
def test_unfit_lines_are_named(
    tmp_path: Path, name: str, content: str | bytes, complaint: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(RequestError, match=complaint) as error:
        read_captions(path, SHAPES)
    assert len(str(error.value)) < 500
    assert str(error.value).isprintable()


@given(st.text(max_size=300), st.sampled_from(["a.csv", "a.jsonl"]))
@settings(max_examples=200, deadline=None)
def test_any_text_is_handled(
    tmp_path_factory: pytest.TempPathFactory, text: str, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_text("class,caption\n" + text, encoding="utf-8", errors="replace", newline="")
    with contextlib.suppress(RequestError):
        assert all(caption.text.isprintable() for caption in read_captions(path, SHAPES))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["options.path=/no/such.csv"], "the captions are not in /no/such.csv"),
        ([], "the writer file: object missing required field `path`"),
    ],
)
def test_no_file_is_refused(bench: Bench, home: Home, settings: list[str], complaint: str) -> None:
    given = (f"captions.{setting}" for setting in ("writer=file", *settings))
    assert complaint in refusal(bench, home, "synthetic", *given)


def test_captions_without_a_class_need_no_more_than_a_text(home: Home, tmp_path: Path) -> None:
    texts = [{"caption": f"a picture of {what}", "class": "who knows"} for what in "abc"]
    for write in (as_csv, as_jsonl, as_parquet):
        path = write(tmp_path / "plain", [{"caption": row["caption"]} for row in texts])
        options: Json = {"writer": "file", "options": {"path": str(path), "labelled": False}}
        found = caption_rows(write_block(home, SHAPES, block_size=6, **options))
        assert set(found["label"]) == {-1}
        assert set(found["class_name"]) == {""}
        assert Counter(found["caption"]) == {row["caption"]: 2 for row in texts}
        with pytest.raises(RequestError, match="class"):
            read_captions(path, SHAPES)
    named = as_csv(tmp_path / "named", texts)
    assert {caption.label for caption in read_captions(named, SHAPES, labelled=False)} == {-1}
    other = as_csv(tmp_path / "other", [{"text": "x"}])
    with pytest.raises(RequestError, match="'text'; name one caption"):
        read_captions(other, SHAPES, labelled=False)


@pytest.mark.parametrize("write", [as_csv, as_jsonl, as_parquet])
def test_unfit_captions_of_nobody_knows_what_are_given_up_and_counted(
    home: Home, tmp_path: Path, write: Write
) -> None:
    unfit = ["x" * 301, "two\u200bhalves", " "]
    rows = [{"caption": text} for text in (*unfit, None, *(f"view {n}" for n in range(6)))]
    path = write(tmp_path / "web", rows)
    options: Json = {"writer": "file", "options": {"path": str(path), "labelled": False}}
    block = write_block(home, SHAPES, block_size=10, **options)
    assert set(caption_rows(block)["caption"]) == {f"view {n}" for n in range(6)}
    given_up = read_parquet(block.shard(0) / "given-up.parquet")
    assert Counter(given_up["fault"]) == {
        "too long": 1, "not one printable line": 1, "empty": 2,
    }  # fmt: skip
