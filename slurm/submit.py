"""Submitting jobs to Slurm through submitit: arrays of a size that the site allows, in order."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.core.errors import BenchError
from bench.core.json_values import Json
from bench.runtime.signals import NOTICE
from bench.storage.study_folder import Array, StudyFolder
from slurm.job import execute
from slurm.options import options_of, parameters
from slurm.plan import PlannedArray, batches
from slurm.queue import COMMENT, max_array_size, queue


def submit(
    planned: Sequence[PlannedArray],
    study: StudyFolder,
    profile: Json,
    code: Path,
    parallel: int | None,
) -> Iterator[Array]:
    """Submit arrays of jobs and record them; yield each one when Slurm has accepted it.

    Args:
        planned: The arrays, each after those that it waits for.
        study: The study they belong to.
        profile: What they ask Slurm for.
        code: The copy of the code that they run.
        parallel: Jobs of a kind at a time; None for as many as the site starts.

    Raises:
        BenchError: If Slurm refuses an array; those before it stay submitted.
    """
    size = max_array_size()
    jobs: list[list[str]] = []
    last: dict[str, list[str]] = {}
    for plan in planned:
        after = [*plan.after_jobs, *(job for index in plan.after for job in jobs[index])]
        jobs.append([])
        for tasks in batches(plan.tasks, size):
            array = Array(kind=plan.kind, title=plan.title, tasks=tasks)
            # Two arrays of a kind side by side would run twice as many jobs as `parallel`.
            before = last.get(plan.kind, []) if parallel else []
            settings = job_parameters(plan, profile, code, [*after, *before], parallel)
            array = _submit(array, study, settings, executor_of(study, plan.kind, profile))
            jobs[-1].append(array.job)
            last[plan.kind] = [array.job]
            yield array


def job_parameters(
    planned: PlannedArray, profile: Json, code: Path, after: Sequence[str], parallel: int | None
) -> dict[str, Any]:
    """Return submitit's parameters for an array of jobs (the arguments are `submit`'s)."""
    options = options_of(profile, planned.kind)
    return parameters(options, planned.nodes, planned.processes) | {
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
    """Return the submitit executor of one kind of job."""
    import submitit

    requeues = options_of(profile, kind).requeues
    return submitit.SlurmExecutor(folder=study.path / "jobs", max_num_timeout=requeues)


def _submit(array: Array, study: StudyFolder, settings: dict[str, Any], executor: Any) -> Array:  # noqa: ANN401
    from submitit.core.utils import FailedJobError

    # Its file comes first, and its name is the jobs' comment: a kill in between loses no job.
    path = study.add(array)
    comment = f"{COMMENT}{path.stem}"
    try:
        executor.update_parameters(**settings, comment=comment)
        arguments = (str(study.home.root), study.name, array.kind)
        columns = ([argument] * len(array.tasks) for argument in arguments)
        jobs = executor.map_array(execute, *columns, array.tasks)
    except FailedJobError as error:
        if not any(job.comment == comment for job in queue().values()):
            path.unlink()
        raise BenchError(
            f"Slurm refused {array.title}: {str(error).strip().splitlines()[-1]}",
            "fix the profile or --slurm; the same command then submits what is missing",
        ) from error
    array = msgspec.structs.replace(array, job=jobs[0].job_id.split("_")[0])
    study.renew(path, array)
    return array
