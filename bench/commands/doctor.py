"""``bench doctor``: check this installation."""

import shutil
import sys
from collections.abc import Callable, Iterator

import click


@click.command()
def command() -> None:
    """Check packages, home folder, embedded weights, fetched tasks, device and disk."""
    from bench.core.terminal import escaped

    failed = False
    for label, check in CHECKS.items():
        for passed, finding in check():
            failed |= not passed
            click.echo(f"{'ok  ' if passed else 'FAIL'}  {label:<10} {escaped(finding)}")
    sys.exit(1 if failed else 0)


def _python() -> Iterator[tuple[bool, str]]:
    yield sys.version_info >= (3, 11), f"Python {sys.version.split()[0]}"


def _packages() -> Iterator[tuple[bool, str]]:
    from bench.runtime.provenance import versions

    for name, version in versions().items():
        yield version != "absent", f"{name} {version}"


def _layout() -> Iterator[tuple[bool, str]]:
    from bench.runtime.layout import TOP_LEVEL, foreign_packages

    foreign = foreign_packages()
    yield not foreign, "; ".join(foreign) or f"{', '.join(TOP_LEVEL)} are this checkout's"


def _home() -> Iterator[tuple[bool, str]]:
    from bench.core.errors import RequestError
    from bench.core.paths import Home

    home = Home.from_environment()
    try:
        home.make_writable()
    except RequestError as error:
        yield False, str(error)
        return
    free = shutil.disk_usage(home.root).free / 1e9
    yield free > 1, f"{home.root} is writable, {free:.0f} GB free"


def _weights() -> Iterator[tuple[bool, str]]:
    from bench.core.errors import RequestError
    from bench.core.files import fingerprint
    from bench.core.paths import Home

    for name in ("clip", "stable-diffusion"):
        try:
            folder = Home.from_environment().find_weights(name)
        except RequestError as error:
            yield False, str(error)
        else:
            yield True, f"{name} {fingerprint(folder)}"


def _tasks() -> Iterator[tuple[bool, str]]:
    from bench.core.errors import RequestError
    from bench.core.paths import Home
    from bench.plugins import tasks

    home = Home.from_environment()
    for name in tasks.names():
        if not (home.tasks / name).is_dir():
            continue
        try:
            tasks.get(name).check(home)
        except RequestError as error:
            yield False, str(error)
        else:
            yield True, f"{name} has the official images and labels"


def _device() -> Iterator[tuple[bool, str]]:
    from bench.runtime.provenance import device

    yield True, device()


CHECKS: dict[str, Callable[[], Iterator[tuple[bool, str]]]] = {
    "python": _python,
    "package": _packages,
    "layout": _layout,
    "home": _home,
    "weights": _weights,
    "tasks": _tasks,
    "device": _device,
}
