"""The report shows what was kept, dropped and removed: read back from what collecting left."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from PIL import Image

from bench.core.paths import Home
from bench.storage.image_codec import encode
from bench.storage.image_set import ImageSet
from bench.storage.tar_shards import INDEX_SCHEMA, ShardWriter
from results.report.page import write_report
from sources.screening.audit import write_copies, write_filtering
from sources.screening.dedup import COPIES_SCHEMA
from tests.support.pages import content_of
from tests.support.pools import context
from tests.support.records import STUDY, write_run
from tests.support.tiny_clip import COLOURS, colour_task, square

HOSTILE = "<script>alert(1)</script>"


def audited(home: Home, tau: float | None = 0.2, source: str = "retrieved") -> ImageSet:
    """Return a set of 20 scored images, of which the even ones passed and two were copies."""
    task = colour_task()
    home.data.mkdir(parents=True)
    rows = []
    with ShardWriter(home.data / "0.tar") as writer:
        for index in range(20):
            key = f"{HOSTILE if index == 6 else ''}{index:02d}"
            shown = "green" if index % 2 == 0 else "red"
            image = square(list(COLOURS).index(shown), index)
            place = writer.add(f"{index}", encode(image, ".png"), ".png")
            scored = {"key": key, "shard": "0.tar", "label": 0, "clip_score": 0.1 * index}
            rows.append(scored | place)
    table = pl.DataFrame(rows)
    passed = pl.Series([index % 2 == 0 for index in range(20)])
    copies = [
        {"key": rows[6]["key"], "reason": "near copies", "distance": 7, "kept": rows[2]["key"]},
        {"key": rows[8]["key"], "reason": "copies of val or test images", "distance": 12,
         "split": "test", "image": "test-3", "framing": "mirrored"},
        {"key": rows[10]["key"], "reason": "equal bytes", "distance": 0, "kept": rows[2]["key"]},
    ]  # fmt: skip
    removed = pl.DataFrame(copies, schema=COPIES_SCHEMA)
    rule: dict[str, Any] = {"rule": "threshold", "tau": tau}
    if tau is None:
        rule = {"rule": "top-fraction", "fraction": 0.3, "cap": 10_000}
    options = {"filter": {"model": "clip", **rule}}
    of_class = {"matched": 2345, "fetched": 20, "decodable": 20, "kept": 10}
    counts = {
        "matched": 2345, "failed": {"http 404": 2300, "timeout": 25}, "fetched": 20,
        "duplicates": {"near copies": 1, "equal bytes": 1, "descriptor": HOSTILE},
        "classes": {HOSTILE: {**of_class, "failed": {"http 404": 2300, "timeout": 25}}},
    }  # fmt: skip
    missing = [pl.lit(None).alias(n) for n in INDEX_SCHEMA if n not in table.columns]
    kept = table.filter(passed).with_columns(missing).with_columns(class_name=pl.lit("red"))
    images = ImageSet.write(home.data, kept, task, source, options, counts)
    if source == "retrieved":
        write_filtering(images, table, passed)

    write_copies(images, table, removed, context(home, task))
    return images


def page(home: Home, tmp_path: Path, images: ImageSet, source: str = "retrieved") -> str:
    write_run(home, source, 100, image_set=images.manifest.content)
    return write_report(home, tmp_path / "out").html.read_text()


def pictures(text: str, kind: str) -> list[Any]:
    """Return the page's pictures besides those of its drawings."""
    found = re.findall(rf"data:image/{kind};base64,([^\"]+)", content_of(text))
    return list(map(base64.b64decode, found))


def test_the_report_shows_scores_samples_and_pairs(home: Home, tmp_path: Path) -> None:
    text = page(home, tmp_path, audited(home))
    assert "filter threshold, tau 0.2" in text
    assert "10 that passed the filter above 10 that did not" in text
    assert ">tau = 0.2<" in text
    filtered, removed = (np.asarray(Image.open(io.BytesIO(p))) for p in pictures(text, "png"))
    # Green passed, red did not.
    for x in range(8):
        above, below = filtered[:96, 100 * x : 100 * x + 96], filtered[100:, 100 * x : 100 * x + 96]
        assert above.mean((0, 1)).argmax() == 1
        assert below.mean((0, 1)).argmax() == 0
    assert removed[:96, :96].mean() < 250
    assert "1 near copies, 1 equal bytes" in text
    assert "<td>12</td><td>test image test-3 (mirrored)</td>" in text
    assert "<td>7</td><td>02</td>" in text
    # Keys from the web are escaped.
    assert "<script" not in content_of(text)
    assert content_of(text).count("&lt;script&gt;") == 3
    # What each step left of each class.
    for step, count in (("matched", "2,345"), ("failed: http 404", "2,300"), ("fetched", "20")):
        assert f"<td>{step}</td><td>{count}</td>" in text
    row = "<td>2,345</td><td>20</td><td>20</td><td>10</td><td>2,300 http 404, 25 timeout</td>"
    assert row in text


def test_a_rule_without_a_threshold_has_no_line(home: Home, tmp_path: Path) -> None:
    text = page(home, tmp_path, audited(home, tau=None))
    assert "filter top-fraction, fraction 0.3, cap 10000" in text
    assert ">tau" not in text


def test_a_source_without_a_filter_shows_its_copies_alone(home: Home, tmp_path: Path) -> None:
    text = page(home, tmp_path, audited(home, source="synthetic"), source="synthetic")
    assert len(pictures(text, "png")) == 1
    assert "1 near copies" in text


def test_a_report_does_without_images_that_are_elsewhere(home: Home, tmp_path: Path) -> None:
    images = audited(home)
    (images.folder / "manifest.json").write_text("{")
    text = page(home, tmp_path, images)
    assert not pictures(text, "png")
    assert STUDY.task in text


def test_every_score_and_every_removed_copy_is_written(home: Home) -> None:
    images = audited(home)
    scores = pl.read_parquet(images.folder / "scores.parquet", glob=False)
    assert scores.columns == ["key", "label", "clip_score", "passed"]
    assert scores.height == 20
    removed = pl.read_parquet(images.folder / "copies.parquet", glob=False)
    assert removed.schema == COPIES_SCHEMA
    assert removed.height == 3
    assert msgspec.json.decode((images.folder / "manifest.json").read_bytes())
