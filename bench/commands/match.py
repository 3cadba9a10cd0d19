"""``bench match``: what a pool's captions offer a task, before anything is downloaded."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import polars as pl

    from bench.core.json_values import Json
    from bench.core.specs import RunSpec

EXAMPLES = 3
"""Captions shown per class."""
WIDTH = 100
"""Characters shown of each."""


@click.command()
@click.option("--task", required=True, help="What to classify: a name, or a folder.")
@click.option("--pool", help="Name, path or URL of a pool; the preset's where none is given.")
@click.option("--count", is_flag=True, help="Numbers alone, without examples of captions.")
@click.option("--preset", default="paper", show_default=True, help="paper, mini or a file.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="source.matcher=word")
@click.option("--plugin", type=click.Path(path_type=Path), help="A .py file of your own.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(
    task: str,
    pool: str | None,
    count: bool,
    as_json: bool,
    plugin: Path | None,
    **options: Any,  # noqa: ANN401
) -> None:
    """Count the pairs whose caption names each class; nothing is downloaded.

    The scan is kept: a run on the same pool by the same rule goes on from it.
    """
    import json

    from bench.collect import context_of
    from bench.core.config import parse_config
    from bench.core.paths import Home
    from bench.core.progress import Progress
    from bench.plugins.registry import load_plugin
    from bench.tasks import find_task
    from sources.pool.scan import labelled
    from sources.retrieved import Retrieved

    if plugin is not None:
        load_plugin(plugin)
    home = Home.from_environment()
    spec = _spec(task, pool, **options)
    source = Retrieved(parse_config(Retrieved.Options, spec.options, "the source retrieved"))
    home.make_writable()
    stage = source.scan(context_of(spec, home, Progress()))
    rows = labelled(stage, source.options.ambiguous)
    counts = stage.info()
    found = {
        "task": spec.task,
        **{name: spec.options[name] for name in ("pool", "matcher", "ambiguous")},
        "incomplete": counts.pop("incomplete"),
        "counts": counts,
        "classes": _classes(rows, find_task(spec.task).class_names, not count),
    }
    click.echo(json.dumps(found) if as_json else _text(found))


def _spec(task: str, pool: str | None, preset: str, settings: tuple[str, ...]) -> "RunSpec":
    from bench.core.config import parse_assignment
    from bench.planning.preset import resolve

    chosen = {".".join(path): value for path, value in map(parse_assignment, settings)}
    if pool is not None:
        chosen["source.pool"] = pool
    return resolve(preset, task=task, source="retrieved", n=None, settings=chosen)


def _classes(rows: "pl.DataFrame", names: tuple[str, ...], examples: bool) -> "dict[str, Json]":
    """Return each class's number of candidates and a few captions, the most frequent first."""
    found: dict[str, Json] = {name: {"hits": 0} for name in names}
    for (name,), group in rows.group_by("class_name"):
        found[str(name)] = {"hits": group.height}
        if examples:
            captions = group.sort("key")["caption"].head(EXAMPLES)
            found[str(name)]["captions"] = [_printable(caption) for caption in captions]
    return dict(sorted(found.items(), key=lambda item: -item[1]["hits"]))


def _printable(caption: str) -> str:
    from bench.core.progress import printable

    shown = printable(caption[:WIDTH])
    return shown if len(caption) <= WIDTH else f"{shown}…"


def _text(found: "Json") -> str:
    classes = found["classes"]
    width = max(len(_printable(name)) for name in classes)
    lines = [
        f"{found['task']} in {found['pool']}: {found['matcher']}, ambiguous: {found['ambiguous']}"
    ]
    for name, facts in classes.items():
        lines.append(f"  {_printable(name):<{width}} {facts['hits']:>12,}")
        lines += [f"      {caption}" for caption in facts.get("captions", [])]
    empty = sum(not facts["hits"] for facts in classes.values())
    total = sum(facts["hits"] for facts in classes.values())
    lines.append(f"{total:,} candidates; {empty} of {len(classes)} classes have none")
    lines.append(", ".join(f"{name}: {count:,}" for name, count in found["counts"].items()))
    if found["incomplete"]:
        lines.append(f"{len(found['incomplete'])} of the pool's files could not be scanned")
    return "\n".join(lines)
