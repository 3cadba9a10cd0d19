"""Which jobs a study needs: its sources' stages in arrays, then its runs, then the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from types import MappingProxyType

from bench.collect import first_unfinished_stage
from bench.core.errors import BenchError
from bench.core.json_values import Json, digest
from bench.core.paths import Home
from bench.core.progress import Progress, printable
from bench.core.specs import RunSpec
from bench.storage.source_locks import parts_of
from slurm.options import options_of
from slurm.work import job_stages_of, name_of

WORKERS = 8
"""Jobs that make a stage together, if the profile does not say."""


@dataclass(frozen=True)
class Planned:
    """Jobs alike, to be submitted at once.

    Attributes:
        kind: What they do (`slurm.options.KINDS`).
        title: What they are called.
        tasks: The run ids that each is about.
        after: Places in the plan of what must have ended, well or not, before they start.
        jobs: Numbers of jobs submitted before for which the same holds.
        nodes: Machines for each.
        processes: Processes on each machine.
    """

    kind: str
    title: str
    tasks: list[list[str]]
    after: tuple[int, ...] = ()
    jobs: tuple[str, ...] = ()
    nodes: int = 1
    processes: int = 1


def plan(
    specs: Sequence[RunSpec],
    home: Home,
    profile: Json,
    progress: Progress,
    live: Mapping[str, str] = MappingProxyType({}),
) -> list[Planned]:
    """Return the jobs that runs need, each after those that it waits for.

    A stage that is finished needs none. No result depends on the order: a run makes whatever its
    source still lacks.

    Args:
        specs: The runs that are still to be done.
        home: Where they are kept.
        profile: What jobs ask for (`slurm.options.read_profile`).
        progress: Where to report.
        live: Title to number of the arrays of stages that are in the queue, and not planned again.
    """
    planned: list[Planned] = []
    made: dict[tuple[str, str], int] = {}
    # A source made of others comes after them: by then most of what it needs has been made.
    for arm in sorted(_arms(specs), key=lambda arm: bool(parts_of(arm[0]))):
        task, source = arm[0].task, arm[0].source
        parts = {part for spec in arm for part in parts_of(spec)}
        waits = tuple(made[task, part] for part in sorted(parts) if (task, part) in made)
        stages = _stages(arm, home, profile, progress)
        jobs: tuple[str, ...] = ()
        for stage in stages:
            if stage.title in live:
                waits, jobs = (), (live[stage.title],)
                continue
            planned.append(replace(stage, after=waits, jobs=jobs))
            waits, jobs = (len(planned) - 1,), ()
        if stages and waits:
            made[task, source] = waits[0]
        planned += [replace(runs, after=waits, jobs=jobs) for runs in _runs(arm, profile)]
    return planned


def report(planned: Sequence[Planned], jobs: Sequence[str]) -> Planned:
    """Return the job that reports when runs of a plan, and jobs of before, have ended."""
    runs = tuple(place for place, jobs in enumerate(planned) if jobs.kind == "run")
    return Planned("report", "report", [[]], runs, tuple(jobs))


def _arms(specs: Sequence[RunSpec]) -> list[list[RunSpec]]:
    def arm(spec: RunSpec) -> tuple[str, str]:
        return spec.task, spec.source

    return [list(group) for _, group in groupby(sorted(specs, key=arm), arm)]


def _stages(arm: Sequence[RunSpec], home: Home, profile: Json, progress: Progress) -> list[Planned]:
    """Return the jobs that make what an arm's source has not made yet."""
    largest: dict[str, RunSpec] = {}
    for spec in sorted(arm, key=lambda spec: (spec.n is None, spec.n or 0)):
        largest[digest(spec.options)] = spec
    chain = job_stages_of(arm[0])
    lacking = {spec.run_id: _lacking(spec, home, progress) for spec in largest.values()}
    ids = [run_id for run_id, stage in lacking.items() if stage]
    if not ids:
        return []
    first = min(_place(chain, stage) for stage in lacking.values() if stage)
    title = printable(f"{arm[0].task}/{arm[0].source}")
    kinds = [names[-1] for names in chain[first:]]
    return [
        Planned(kind, f"{title}/{kind}", [ids] * (options_of(profile, kind).workers or usual))
        for kind, usual in (*((kind, WORKERS) for kind in kinds), ("build", 1))
    ]


def _lacking(spec: RunSpec, home: Home, progress: Progress) -> str | None:
    """Return the first stage of a run's source that is not made; None if there is none."""
    try:
        return first_unfinished_stage(spec, home)
    except BenchError as error:  # The runs will fail with it, and the others need not.
        progress.say(f"{spec.source} for {spec.task}: {error}")
        return None


def _place(chain: Sequence[Sequence[str]], stage: str) -> int:
    """Return which link of a chain makes a stage; after the last, if none does."""
    return next((place for place, names in enumerate(chain) if stage in names), len(chain))


def _runs(arm: Sequence[RunSpec], profile: Json) -> list[Planned]:
    def shape(spec: RunSpec) -> tuple[int, int]:
        return spec.train.nodes, spec.train.gpus_per_node

    planned = []
    packed = options_of(profile, "run").runs
    for (nodes, processes), group in groupby(sorted(arm, key=shape), shape):
        # Ambiguous processes cannot go on to another run after one has failed.
        size = packed if nodes * processes == 1 else 1
        ids = [spec.run_id for spec in group]
        tasks = [ids[start : start + size] for start in range(0, len(ids), size)]
        name = name_of(arm[0]) if len(arm) == 1 else printable(f"{arm[0].task}/{arm[0].source}/run")
        planned.append(Planned("run", name, tasks, nodes=nodes, processes=processes))
    return planned
