"""Which program made a database: whatever decides its content."""

import hashlib
from functools import cache
from pathlib import Path

from bench.core import records, specs
from bench.planning import differences
from bench.plugins import tasks as plugins
from results import experiment, fidelity, labels, settings, tasks

_MODULES = (records, specs, differences, experiment, fidelity, labels, settings, tasks)


def sources() -> list[Path]:
    """Return the files of code that decide what a database has."""
    room = Path(__file__).parent
    files = [*sorted(room.glob("*.py")), *sorted(room.glob("*.sql"))]
    return [*files, *(Path(str(module.__file__)) for module in _MODULES)]


@cache
def program() -> str:
    """Return a hash of the code from records to rows, and of the tasks that have names."""
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sources()]
    return hashlib.sha256("\n".join([*sums, *sorted(plugins.names())]).encode()).hexdigest()
