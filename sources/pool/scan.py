"""Scan a pool's captions in one pass for every pair that names a class of the task.

The default is the paper's rule (Geng 2024, section 3): a pair is kept if its caption contains a
class name as a substring, ignoring case, and takes that class's label. `sources.pool.matcher` has
the other matchers.
"""

import hashlib
from pathlib import Path

import msgspec
import polars as pl

from bench.core.errors import BenchError
from bench.core.files import read_parquet
from bench.core.json_values import Json
from bench.core.progress import Progress, printable
from bench.core.stage_names import SCAN
from bench.core.task import Task
from bench.plugins.source import Context
from bench.storage.stage import Stage
from sources.pool.ambiguous import Ambiguous, resolve
from sources.pool.columns import InvalidFileError, choice_note
from sources.pool.flags import MAX_PUNSAFE, say_unflagged
from sources.pool.match_file import PLACES, Matches, schema_of
from sources.pool.matcher import MAX_CAPTION, CaptionMatcher, Matcher
from sources.pool.pool import Pool

PLACE_SCHEMA = {"key": pl.String, **{name: PLACES[name] for name in ("file", "offset", "size")}}
"""Where the image of a key is (`sources.pool.match_file.PLACES`)."""


def scan(
    pool: Pool,
    task: Task,
    context: Context,
    matcher: Matcher = "substring",
    ambiguous: Ambiguous = "longest",
    max_punsafe: float = MAX_PUNSAFE,
) -> Stage:
    """Return the finished scan of a pool for a task's classes; one shard per file.

    Each shard holds ``candidates.parquet`` (key, url, caption, label, class_name; one row per pair
    and class) and ``counts.parquet``, the numbers of pairs matched and dropped. A file that cannot
    be scanned has no candidates; the stage notes its problem under ``incomplete``. Where the pool
    holds its images, ``places.parquet`` says where they are (`places`).

    Args:
        pool: The pool.
        task: Its classes and queries.
        context: What the source was given.
        matcher: How queries are compared with captions.
        ambiguous: What becomes of a caption that names several classes: it goes to the class of the
            longest spelling, and a tie is dropped; it is dropped; or it goes to all.
        max_punsafe: The highest probability of being unsafe that is kept.

    Raises:
        RequestError: If the task's queries or the pool are not usable.
    """
    caption_matcher = CaptionMatcher(task, matcher)
    files = pool.files()
    stage = context.stage(
        SCAN,
        {
            "version": 7,  # 6 took letters of several characters, and the final sigma, as they are.
            "pool": pool.fingerprint,
            "classes": task.class_names,  # Their order makes the labels.
            "queries": msgspec.to_builtins(caption_matcher.queries),
            "matcher": matcher,
            "ambiguous": ambiguous,
            "caption": MAX_CAPTION,
            "max_punsafe": max_punsafe,
        },
    )

    def make(index: int, folder: Path) -> None:
        matches, problem = _matched(pool, files[index], folder, caption_matcher)
        kept, counts = resolve(matches, ambiguous, max_punsafe)
        rows = candidate_rows(kept, task.class_names)
        rows.write_parquet(folder / "candidates.parquet")
        if matches.places is not None:
            where = kept.select("row").with_columns(rows["key"]).unique()
            placed = matches.places.join(where, on="row").select(*PLACE_SCHEMA)
            placed.write_parquet(folder / "places.parquet")
        pl.DataFrame([{**counts, "problem": problem}]).write_parquet(folder / "counts.parquet")

    _say_choice(pool, files[0], context.progress)
    stage.run(len(files), make, summarise=_total_counts)
    counts = stage.info()
    for problem in counts["incomplete"]:
        context.progress.say(f"left out of the scan: {problem}")
    say_unflagged(counts, counts["rows"], context.progress)
    return stage


def _say_choice(pool: Pool, file: str, progress: Progress) -> None:
    """Say which columns are read where a file has several that may be meant.

    A remote file is not fetched for it.
    """
    is_table = pool.kind in {"addresses", "parquet"} and Path(file).is_file()
    if pool.columns is not None or not is_table:
        return
    try:
        note = choice_note(schema_of(Path(file)), addressed=not pool.holds_images)
    except InvalidFileError:
        return  # The scan names the file.
    if note:
        progress.say(printable(note))


def _matched(pool: Pool, file: str, folder: Path, matcher: CaptionMatcher) -> tuple[Matches, str]:
    """Return a file's matches, and why it cannot be scanned whole; nothing if it can."""
    name = file.rpartition("/")[2]
    with pool.local_file(file, folder) as path:
        try:
            matches = pool.match(path, matcher)
        except InvalidFileError as error:
            nowhere = pl.DataFrame(schema=PLACES) if pool.holds_images else None
            return Matches.none()._replace(places=nowhere), printable(f"{name}: {error}")
        return matches, printable(f"{name}: {matches.problem}") if matches.problem else ""


def require_complete(stage: Stage) -> None:
    """Check that every file of the pool was scanned.

    Raises:
        BenchError: If one was not, with the remedy.
    """
    if missing := stage.info()["incomplete"]:
        shown = "; ".join(missing[:3]) + ("; …" if len(missing) > 3 else "")
        raise BenchError(
            f"{len(missing)} of the pool's files could not be scanned: {shown}",
            "fetch them again or declare their columns in pool.yaml (docs/retrieval.md), "
            "or go on without them: --allow-incomplete",
        )


def candidates(stage: Stage) -> pl.DataFrame:
    """Return the candidates of a finished scan, one row per URL, in order of key.

    A URL has the class of the longest spelling in the first row that contains it.
    """
    return _all_rows(stage).unique("key", keep="first", maintain_order=True).sort("key")


def places(stage: Stage) -> pl.DataFrame:
    """Return where the candidates' images are, of a finished scan of a pool that holds them.

    Returns:
        One row per candidate, with the columns of `PLACE_SCHEMA`, in order on the disk. Of several
        places of a key, the first that has the image counts. A row without one comes first.
    """
    rows = pl.concat(read_parquet(shard / "places.parquet") for shard in stage.shards())
    rows = rows.sort(pl.col("offset").is_null(), maintain_order=True)
    rows = rows.unique("key", keep="first", maintain_order=True)
    return rows.sort("file", "offset", "key")


def labelled(stage: Stage, ambiguous: Ambiguous) -> pl.DataFrame:
    """Return the candidates of a finished scan, one row per URL and class that it is kept for."""
    if ambiguous != "all":
        return candidates(stage)
    rows = _all_rows(stage).unique(["key", "label"], keep="first", maintain_order=True)
    return rows.sort("key", maintain_order=True)


def with_labels(images: pl.DataFrame, stage: Stage, ambiguous: Ambiguous) -> pl.DataFrame:
    """Return images with their candidates' url, caption, label and class_name.

    Args:
        images: One row per image, by ``key``.
        stage: The scan that they come from.
        ambiguous: What the scan did with several classes.

    Returns:
        One row per image and class; further classes of an image have keys of their own.
    """
    rows = images.join(
        labelled(stage, ambiguous), on="key", how="left", maintain_order="left_right"
    )
    first_key = pl.when(pl.col("key").is_first_distinct()).then("key")
    return rows.with_columns(first_key.otherwise(pl.format("{}-{}", "key", "label")).alias("key"))


def candidate_rows(matches: pl.DataFrame, class_names: tuple[str, ...]) -> pl.DataFrame:
    """Return matches (url, caption, label) as candidates: with their key and class_name."""
    names = dict(enumerate(class_names))
    return matches.select(
        pl.col("url").map_elements(_key, return_dtype=pl.String).alias("key"),
        "url",
        "caption",
        "label",
        pl.col("label").replace_strict(names, return_dtype=pl.String).alias("class_name"),
    )


def _all_rows(stage: Stage) -> pl.DataFrame:
    return pl.concat(read_parquet(shard / "candidates.parquet") for shard in stage.shards())


def _total_counts(shards: list[Path]) -> Json:
    keys = pl.concat(
        read_parquet(shard / "candidates.parquet", columns=["key"]) for shard in shards
    )
    counts = pl.concat(read_parquet(shard / "counts.parquet") for shard in shards)
    problems = counts["problem"].to_list()
    totals = counts.drop("problem").sum().row(0, named=True)
    totals["duplicate URLs"] = totals.pop("pairs") - keys["key"].n_unique()
    return {**totals, "incomplete": [problem for problem in problems if problem]}


def _key(url: str) -> str:
    """Return the name of an image by its URL, the same on every machine."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]
