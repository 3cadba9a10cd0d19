"""Which sources' images are being made: so that others can do something else meanwhile."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bench.core.json_values import digest
from bench.core.paths import Home
from bench.core.specs import RunSpec

_LOOK_SECONDS = 0.2
"""Others who look whether a lock is held hold it themselves, for much less than this."""


def parts_of(spec: RunSpec) -> set[str]:
    """Return the sources that a source is made of (`bench.planning.preset.source_options`)."""
    of = [spec.options["of"]] if "of" in spec.options else []
    return {*spec.options.get("parts", {}), *of}


@contextmanager
def making(spec: RunSpec, home: Home) -> Iterator[None]:
    """Say, in the block, that the images of a run's source are being made; several may at once."""
    with ExitStack() as held:
        for path in _locks(spec, home):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(FileLock(path).acquire(_LOOK_SECONDS, poll_interval=0.02))
            except Timeout:
                continue  # Another process says so already.
        yield


def is_made_elsewhere(spec: RunSpec, home: Home) -> bool:
    """Return whether another process is making images of a run's source, or of a part of it."""
    return any(path.exists() and _is_locked(path) for path in _locks(spec, home))


def _locks(spec: RunSpec, home: Home) -> list[Path]:
    # Whatever the options: sets of one source share most of their stages.
    names = sorted({spec.source, *parts_of(spec)} - {"none"})
    return [home.root / "making" / f"{digest([spec.task, name])}.lock" for name in names]


def _is_locked(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
