"""What a job does: read a spec from the run's folder and carry it out."""

from pathlib import Path

import msgspec

from bench.errors import BenchError
from bench.paths import Home
from bench.progress import Progress
from bench.records import read_record
from bench.run import run
from bench.types import RunSpec


def run_spec(home: str, run_id: str) -> str:
    """Carry out the run whose spec lies in its folder; return its status.

    The spec travels as JSON on disk, never as a pickle; so does everything the run makes, and a
    job that is killed and started again continues.
    """
    place = Home(Path(home))
    spec = msgspec.json.decode((place.run(run_id) / "spec.json").read_bytes(), type=RunSpec)
    try:
        return run(spec, place, Progress()).status
    except BenchError as error:
        Progress().say(f"failed: {error}")
        record = read_record(place, run_id)
        return record.status if record else "failed"
