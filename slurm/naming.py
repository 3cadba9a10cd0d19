"""What runs and their jobs are called."""

from collections.abc import Sequence
from pathlib import PurePath

from bench.core.progress import printable
from bench.core.size import format_size
from bench.core.specs import RunSpec
from bench.planning.differences import differences


def title_of(spec: RunSpec) -> str:
    """Return a run's title: task, source, n and seed."""
    return printable(f"{spec.task} {spec.source} n={format_size(spec.n)} seed={spec.seed}")


def titles(specs: Sequence[RunSpec]) -> dict[str, str]:
    """Return run id to title, with the settings in which a study's runs differ."""
    return {
        spec.run_id: printable(
            " ".join([title_of(spec), *(f"{name}={value}" for name, value in settings.items())])
        )
        for spec, settings in zip(specs, differences(specs), strict=True)
    }


def job_name(spec: RunSpec) -> str:
    """Return the Slurm name of a run's job."""
    return f"{arm_name(spec)}/{format_size(spec.n)}/{spec.seed}"


def arm_name(spec: RunSpec) -> str:
    """Return the name that all jobs of a run's task and source begin with."""
    return printable(f"{PurePath(spec.task).name}/{spec.source}")
