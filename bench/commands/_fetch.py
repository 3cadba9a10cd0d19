"""Fetch several things, and all that a study needs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from bench.commands._fetch_models import model_snapshot
from bench.commands._fetch_pools import pool_snapshot
from bench.commands._fetch_tasks import fetch_task
from bench.commands._hub import Snapshot, fetch_all
from bench.commands._lacking import Lacking, lacking
from bench.core.errors import RequestError
from bench.core.missing import Fetchable
from bench.core.paths import Home
from bench.core.terminal import escaped


def fetch(wanted: Sequence[Fetchable], home: Home) -> None:
    """Fetch some things: what the Hub has with one bar, then tasks, each on its own.

    Raises:
        RequestError: If one of them is not known, and nothing was fetched; or a task's data are
            not the official ones.
        BenchError: If one cannot be fetched; what was fetched stays.
    """
    fetch_all([_snapshot(each, home) for each in wanted if _is_wanted(each, home)])
    for each in wanted:
        _finish(each, home)


def fetch_study(file: Path, home: Home) -> None:
    """Fetch all that a study's runs lack and that can be fetched.

    Something that is absent may hide something else, such as a generator its safety checker: this
    goes on until nothing more can be fetched.

    Raises:
        RequestError: If something remains that has to be got by hand, with how.
        BenchError: If the disk is full or the network fails; what was fetched stays.
    """
    tried: set[Fetchable] = set()
    while absent := _absent(file, home):
        wanted = {each.fetchable for each in absent if each.fetchable} - tried
        if not wanted:
            lines = ". ".join(each.line for each in absent)
            raise RequestError(f"{file} still lacks: {lines}", "the same command then checks again")
        tried |= wanted
        _fetch_what_can_be(sorted(wanted), home)
    click.echo(f"everything that {file} needs is here")


def _fetch_what_can_be(wanted: Sequence[Fetchable], home: Home) -> None:
    """Fetch some things; of those that are refused, say why."""
    snapshots: list[Snapshot] = []
    refused: set[Fetchable] = set()
    for each in wanted:
        with _refusal(each, refused):
            if _is_wanted(each, home):
                snapshots.append(_snapshot(each, home))
    fetch_all(snapshots)
    for each in wanted:
        if each not in refused:
            with _refusal(each, refused):
                _finish(each, home)


@contextmanager
def _refusal(wanted: Fetchable, refused: set[Fetchable]) -> Iterator[None]:
    try:
        yield
    except RequestError as error:
        refused.add(wanted)
        click.echo(f"not fetched: {wanted.name}: {escaped(str(error))}", err=True)


def _is_wanted(each: Fetchable, home: Home) -> bool:
    """Return whether something is to be fetched from the Hub."""
    return each.kind != "task" and not _folder(each, home).is_dir()


def _snapshot(wanted: Fetchable, home: Home) -> Snapshot:
    of_kind = model_snapshot if wanted.kind == "model" else pool_snapshot
    return of_kind(wanted.name, home)


def _finish(each: Fetchable, home: Home) -> None:
    """Fetch a task; say where something is."""
    folder = fetch_task(each.name, home) if each.kind == "task" else _folder(each, home)
    click.echo(f"{each.kind} {each.name} is in {folder}")


def _folder(each: Fetchable, home: Home) -> Path:
    return home.weights_folder(each.name) if each.kind == "model" else home.pools / each.name


def _absent(file: Path, home: Home) -> list[Lacking]:
    from bench.planning.study import expand, load_study
    from bench.steps.prepare import prepared

    return lacking(prepared(expand(load_study(file)), home))
