"""Handing jobs to Slurm, through submitit: arrays of a size that the site allows, in order."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.core.errors import BenchError
from bench.core.json_values import Json
from bench.runtime.signals import NOTICE
from bench.storage.study_folder import Array, StudyFolder
from slurm import queue
from slurm.job import execute
from slurm.options import options_of, parameters
from slurm.plan import Planned

COMMENT = "bench:"
"""Begins the comment of our jobs; the name of the array's file follows."""


def submit(
    planned: Sequence[Planned], study: StudyFolder, profile: Json, code: Path, parallel: int | None
) -> Iterator[Array]:
    """Submit jobs, and write down what was submitted; yield each array when Slurm has it.

    Args:
        planned: The jobs, each after those that it waits for.
        study: What they belong to.
        profile: What they ask for.
        code: The copy of the code that they run.
        parallel: Jobs of a kind at a time; None for as many as the site starts.

    Raises:
        BenchError: If Slurm refuses; what it took until then stays submitted.
    """
    largest = queue.max_array_size()
    jobs: list[list[str]] = []
    last: dict[str, list[str]] = {}
    for one in planned:
        after = [*one.jobs, *(job for place in one.after for job in jobs[place])]
        jobs.append([])
        for tasks in cut(one.tasks, largest):
            array = Array(kind=one.kind, title=one.title, tasks=tasks)
            # Two arrays of a kind side by side would be twice as many jobs.
            before = last.get(one.kind, []) if parallel else []
            wanted = job_parameters(one, profile, code, [*after, *before], parallel)
            array = _submit(array, study, wanted, executor_of(study, one.kind, profile))
            jobs[-1].append(array.job)
            last[one.kind] = [array.job]
            yield array


def cut(tasks: list[list[str]], size: int) -> Iterator[list[list[str]]]:
    """Yield jobs in arrays of at most so many."""
    for start in range(0, len(tasks), size):
        yield tasks[start : start + size]


def job_parameters(
    planned: Planned, profile: Json, code: Path, after: Sequence[str], parallel: int | None
) -> dict[str, Any]:
    """Return submitit's names and values for jobs (the arguments are `submit`'s)."""
    options = options_of(profile, planned.kind)
    wanted = parameters(options, planned.nodes, planned.processes)
    return wanted | {
        "job_name": planned.title,
        "wckey": None,
        "stderr_to_stdout": True,
        "array_parallelism": parallel or len(planned.tasks),
        "dependency": f"afterany:{':'.join(after)}" if after else None,
        "setup": [
            *options.setup,
            f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}",
            "export PYTHONSAFEPATH=1",
            f"export {NOTICE}={options.signal}",
            "export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}",
        ],
    }


def executor_of(study: StudyFolder, kind: str, profile: Json) -> Any:  # noqa: ANN401 (submitit's)
    """Return what submits one kind of job."""
    import submitit

    requeues = options_of(profile, kind).requeues
    return submitit.SlurmExecutor(folder=study.path / "jobs", max_num_timeout=requeues)


def _submit(array: Array, study: StudyFolder, wanted: dict[str, Any], executor: Any) -> Array:  # noqa: ANN401
    from submitit.core.utils import FailedJobError

    # Its file comes first and names it in Slurm, so that a kill in between loses sight of nothing.
    path = study.add(array)
    try:
        executor.update_parameters(**wanted, comment=f"{COMMENT}{path.stem}")
        words = ([str(study.home.root)], [study.name], [array.kind])
        sizes = (part * len(array.tasks) for part in words)
        jobs = executor.map_array(execute, *sizes, array.tasks)
    except FailedJobError as error:
        if not any(job.comment == f"{COMMENT}{path.stem}" for job in queue.queue().values()):
            path.unlink()
        said = str(error).strip().splitlines()[-1]
        raise BenchError(
            f"Slurm refuses {array.title}: {said}",
            "mend the profile or --slurm; the same command then submits what is missing",
        ) from error
    array = msgspec.structs.replace(array, job=jobs[0].job_id.split("_")[0])
    study.renew(path, array)
    return array
