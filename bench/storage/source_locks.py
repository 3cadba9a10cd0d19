"""Locks that tell which sources' images are being collected, so that others can work elsewhere."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bench.core.json_values import digest
from bench.core.paths import Home
from bench.core.specs import RunSpec

_PROBE_SECONDS = 0.2
"""A process that tests whether a lock is held holds it itself, for much less than this."""


def parts_of(spec: RunSpec) -> set[str]:
    """Return the sources that a source is made of (`bench.planning.preset.source_options`)."""
    of = [spec.options["of"]] if "of" in spec.options else []
    return {*spec.options.get("parts", {}), *of}


@contextmanager
def marked_as_collecting(spec: RunSpec, home: Home) -> Iterator[None]:
    """Mark a run's source as being collected in the block; several processes may do so at once."""
    with ExitStack() as held:
        for path in _locks(spec, home):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(FileLock(path).acquire(_PROBE_SECONDS, poll_interval=0.02))
            except Timeout:
                continue  # Another process has marked it already.
        yield


def is_collected_elsewhere(spec: RunSpec, home: Home) -> bool:
    """Return whether another process is collecting a run's source, or a part of it."""
    return any(path.exists() and is_locked(path) for path in _locks(spec, home))


def is_locked(path: Path) -> bool:
    """Return whether a process holds a lock."""
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def _locks(spec: RunSpec, home: Home) -> list[Path]:
    # Whatever the options: sets of one source share most of their stages.
    names = sorted({spec.source, *parts_of(spec)} - {"none"})
    return [home.root / "source-locks" / f"{digest([spec.task, name])}.lock" for name in names]
