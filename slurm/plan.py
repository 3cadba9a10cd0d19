"""The jobs that a study needs: its sources' stages as arrays, then its runs, then the report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType
from typing import TypeVar

from bench.core.errors import BenchError
from bench.core.json_values import Json, digest
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.specs import RunSpec
from bench.steps.collect import first_unfinished_stage, job_stages_of, most_shards
from bench.storage.source_locks import parts_of
from slurm.naming import arm_name, job_name
from slurm.options import options_of

T = TypeVar("T")

DEFAULT_WORKERS = 8
"""Jobs that build one stage together, if the profile does not say."""


@dataclass(frozen=True)
class PlannedArray:
    """An array of like jobs, to be submitted at once.

    Attributes:
        kind: Their kind (`slurm.options.KINDS`).
        title: Their name in Slurm.
        tasks: The run ids of each job.
        after: Indices in the plan of arrays that must have ended, well or not, before it starts.
        after_jobs: Numbers of submitted arrays that must have ended likewise.
        nodes: Nodes per job.
        processes: Processes per node.
    """

    kind: str
    title: str
    tasks: list[list[str]]
    after: tuple[int, ...] = ()
    after_jobs: tuple[str, ...] = ()
    nodes: int = 1
    processes: int = 1


def plan(
    specs: Sequence[RunSpec],
    home: Home,
    profile: Json,
    progress: Progress,
    live: Mapping[str, str] = MappingProxyType({}),
) -> list[PlannedArray]:
    """Return the arrays of jobs that runs need, each after those that it waits for.

    A finished stage needs none. No result depends on the order: a run makes whatever its source
    still lacks.

    Args:
        specs: The runs to execute.
        home: The home they are kept in.
        profile: What jobs ask Slurm for (`slurm.options.read_profile`).
        progress: Where to report.
        live: Title to job number of the stages that are in the queue; they are not planned again.
    """
    planned: list[PlannedArray] = []
    last_stage: dict[tuple[str, str], int] = {}
    # A source made of others comes after them, when most of what it needs is there.
    for arm in sorted(_arms(specs), key=lambda arm: bool(parts_of(arm[0]))):
        task, source = arm[0].task, arm[0].source
        parts = sorted({part for spec in arm for part in parts_of(spec)})
        after = tuple(last_stage[task, part] for part in parts if (task, part) in last_stage)
        after_jobs: tuple[str, ...] = ()
        stages = _stages(arm, home, profile, progress)
        for stage in stages:
            if stage.title in live:
                after, after_jobs = (), (live[stage.title],)
                continue
            planned.append(replace(stage, after=after, after_jobs=after_jobs))
            after, after_jobs = (len(planned) - 1,), ()
        if stages and after:
            last_stage[task, source] = after[0]
        runs = _runs(arm, profile)
        planned += [replace(array, after=after, after_jobs=after_jobs) for array in runs]
    return planned


def batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    """Yield the items in order, at most ``size`` at a time."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def report(planned: Sequence[PlannedArray], jobs: Sequence[str]) -> PlannedArray:
    """Return the job that reports when the runs of a plan, and submitted jobs, have ended."""
    runs = tuple(index for index, array in enumerate(planned) if array.kind == "run")
    return PlannedArray("report", "report", [[]], runs, tuple(jobs))


def _arms(specs: Sequence[RunSpec]) -> list[list[RunSpec]]:
    """Return the runs of each task and source."""

    def arm(spec: RunSpec) -> tuple[str, str]:
        return spec.task, spec.source

    return [list(group) for _, group in groupby(sorted(specs, key=arm), arm)]


def _stages(
    arm: Sequence[RunSpec], home: Home, profile: Json, progress: Progress
) -> list[PlannedArray]:
    """Return the arrays that build an arm's unfinished stages."""
    largest: dict[str, RunSpec] = {}
    for spec in sorted(arm, key=lambda spec: (spec.n is None, spec.n or 0)):
        largest[digest(spec.options)] = spec
    unfinished = {
        spec.run_id: stage
        for spec in largest.values()
        if (stage := _first_unfinished(spec, home, progress))
    }
    if not unfinished:
        return []
    stages = job_stages_of(arm[0])
    first = min(_index_of(stage, stages) for stage in unfinished.values())
    run_ids = list(unfinished)
    specs = [spec for spec in largest.values() if spec.run_id in unfinished]
    kinds = [(names[-1], DEFAULT_WORKERS) for names in stages[first:]] + [("build", 1)]
    planned = []
    for kind, default in kinds:
        workers = options_of(profile, kind).workers or default
        jobs = min(workers, most_jobs(specs, home, kind) or workers)
        planned.append(PlannedArray(kind, f"{arm_name(arm[0])}/{kind}", [run_ids] * jobs))
    return planned


def most_jobs(specs: Sequence[RunSpec], home: Home, kind: str) -> int | None:
    """Return how many jobs at most find work in a stage of some runs; None if unknown.

    Args:
        specs: Runs of one task and source; their jobs go from one to the next.
        home: The home they are kept in.
        kind: The kind of job, which is the stage's name.
    """
    shards = [most_shards(spec, home, kind) for spec in specs]
    known = [max(1, count) for count in shards if count is not None]
    return max(known) if specs and len(known) == len(shards) else None


def _first_unfinished(spec: RunSpec, home: Home, progress: Progress) -> str | None:
    """Return the first unfinished stage of a run's source; None if there is none."""
    try:
        return first_unfinished_stage(spec, home)
    except BenchError as error:  # These runs will fail with it; the others need not.
        progress.say(f"{spec.source} for {spec.task}: {error}")
        return None


def _index_of(stage: str, stages: Sequence[Sequence[str]]) -> int:
    """Return which of a source's jobs builds a stage; their number if none does."""
    return next((index for index, names in enumerate(stages) if stage in names), len(stages))


def _runs(arm: Sequence[RunSpec], profile: Json) -> list[PlannedArray]:
    """Return the arrays of an arm's runs, one for each number of processes."""

    def shape(spec: RunSpec) -> tuple[int, int]:
        return spec.train.nodes, spec.train.gpus_per_node

    planned = []
    name = job_name(arm[0]) if len(arm) == 1 else f"{arm_name(arm[0])}/run"
    for (nodes, processes), group in groupby(sorted(arm, key=shape), shape):
        # Processes of one job that train together cannot go on after a run of theirs failed.
        size = options_of(profile, "run").runs if nodes * processes == 1 else 1
        run_ids = [spec.run_id for spec in group]
        tasks = list(batches(run_ids, size))
        planned.append(PlannedArray("run", name, tasks, nodes=nodes, processes=processes))
    return planned
