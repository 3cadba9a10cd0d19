"""``bench match``: count the captions of a pool that name each class of a task."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.commands._options import plugin_option, preset_option, settings_option, task_option

if TYPE_CHECKING:
    import polars as pl

    from bench.core.json_values import Json
    from bench.core.specs import RunSpec

_EXAMPLES = 3
"""Captions shown per class."""

_WIDTH = 100
"""Characters shown of each."""

_WORTH_SAYING = 0.05
"""Share of a class's captions with its name within another word from which `word` is suggested."""


@click.command()
@task_option
@click.option("--pool", help="Name, path or URL of the pool.  [default: the preset's]")
@click.option("--count", is_flag=True, help="Print numbers only, without example captions.")
@preset_option
@settings_option("source.matcher=word")
@plugin_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    task: str,
    pool: str | None,
    count: bool,
    as_json: bool,
    plugin: Path | None,
    **options: Any,  # noqa: ANN401
) -> None:
    """Count the pairs whose caption names each class. Downloads nothing.

    The scan is kept: a run on the same pool with the same matcher continues from it.
    """
    import json

    from bench.core.config import parse_config
    from bench.core.paths import Home
    from bench.core.progress import Progress
    from bench.plugins.registry import load_plugin
    from bench.steps.collect import context_of
    from bench.tasks import find_task
    from sources.pool.matcher import within_words
    from sources.pool.scan import labelled
    from sources.retrieved import Retrieved

    if plugin is not None:
        load_plugin(plugin)
    home = Home.from_environment()
    spec = _spec(task, pool, **options)
    source = Retrieved(parse_config(Retrieved.Options, spec.options, "the source retrieved"))
    try:
        stage = source.scan(context_of(spec, home, Progress()))
    except OSError:
        # A finished scan is only read; another one needs a home that can be written to.
        home.make_writable()
        raise
    rows, task_ = labelled(stage, source.options.ambiguous), find_task(spec.task)
    of_substring = source.options.matcher == "substring"
    within = within_words(rows, source.queried(task_)) if of_substring else False
    counts = stage.info()
    pool_ = source.pool(home)
    for note in pool_.notes():
        click.echo(f"bench: note: {note}", err=True)
    result = {
        "task": spec.task,
        "kind": pool_.kind,
        **{name: spec.options[name] for name in ("pool", "matcher", "queries", "ambiguous")},
        "incomplete": counts.pop("incomplete"),
        "counts": counts,
        "classes": _classes(
            rows.with_columns(within=within), task_.class_names, examples=not count
        ),
    }
    click.echo(json.dumps(result) if as_json else _text(result, pool_.what))


def _spec(task: str, pool: str | None, preset: str, settings: tuple[str, ...]) -> "RunSpec":
    from bench.planning.preset import resolve

    asked = [("source.pool", pool)] if pool is not None else []
    return resolve(preset, task=task, source="retrieved", n=None, settings=[*settings, *asked])


def _classes(rows: "pl.DataFrame", names: tuple[str, ...], *, examples: bool) -> "dict[str, Json]":
    """Return each class's number of hits and a few captions, most hits first.

    Of the hits, ``within words`` have a letter or digit beside the name.
    """
    classes: dict[str, Json] = {name: {"hits": 0, "within words": 0} for name in names}
    for (name,), group in rows.group_by("class_name"):
        classes[str(name)] = {"hits": group.height, "within words": int(group["within"].sum())}
        if examples:
            captions = group.sort("key")["caption"].head(_EXAMPLES)
            classes[str(name)]["captions"] = [_printable(caption) for caption in captions]
    return dict(sorted(classes.items(), key=lambda item: -item[1]["hits"]))


def _printable(caption: str) -> str:
    from bench.core.progress import printable

    shown = printable(caption[:_WIDTH])
    return shown if len(caption) <= _WIDTH else f"{shown}…"


def _text(result: "Json", kind: str) -> str:
    classes = result["classes"]
    width = max(len(_printable(name)) for name in classes)
    lines = [
        f"{_printable(result['task'])} in {_printable(result['pool'])}, {kind}: "
        f"matcher {result['matcher']}, queries {result['queries']}, "
        f"ambiguous {result['ambiguous']}"
    ]
    for name, facts in classes.items():
        lines.append(f"  {_printable(name):<{width}} {facts['hits']:>12,}")
        lines += [f"      {caption}" for caption in facts.get("captions", [])]
    empty = sum(not facts["hits"] for facts in classes.values())
    total = sum(facts["hits"] for facts in classes.values())
    lines.append(f"{total:,} candidates; {empty} of {len(classes)} classes have none")
    lines.append(", ".join(f"{name}: {count:,}" for name, count in result["counts"].items()))
    lines += _other_words(classes)
    if result["incomplete"]:
        lines.append(f"{len(result['incomplete'])} of the pool's files could not be scanned")
    return "\n".join(lines)


def _other_words(classes: "Json") -> list[str]:
    """Return the line on names within longer words; none where that hardly happens."""
    shares = {
        name: facts["within words"] / facts["hits"]
        for name, facts in classes.items()
        if facts["within words"] > _WORTH_SAYING * facts["hits"]
    }
    if not shares:
        return []
    most = sorted(shares, key=lambda name: -classes[name]["within words"])[:_EXAMPLES]
    shown = ", ".join(f"{_printable(name)} {shares[name]:.0%}" for name in most)
    count = sum(classes[name]["within words"] for name in shares)
    return [
        f"the name is part of a longer word in {count:,} of these captions ({shown}): plurals, "
        "variants or other names; --set source.matcher=word leaves them out"
    ]
