"""The options of Slurm jobs: typed options of sbatch, from a site's profile and the command line.

default: {partition: gpu, account: vision, cpus: 8, mem: 48G, time: 4h}
scan: {partition: cpu, workers: 32}
run: {time: 12h}
"""

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from bench.core.config import Config, Natural, Positive, assign, parse_assignment, parse_config
from bench.core.errors import RequestError, unknown_name
from bench.core.json_values import Json
from bench.core.stage_names import CAPTIONS, DENOISE, DOWNLOAD, EMBED, GENERATE, KNN, SCAN
from bench.core.yaml_files import read_yaml

DEFAULT = "default"

KINDS = (
    *(SCAN, KNN, DOWNLOAD, CAPTIONS, GENERATE, DENOISE, EMBED),
    *("build", "run", "report"),
)
"""Kinds of job: the stages that have jobs of their own, the rest of a source, a run, the report."""

_WITHOUT_GPU = (SCAN, DOWNLOAD, "report")

_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d)")
_UNIT = re.compile(r"(\d+) ?(m|h|d)")
_MINUTES = {"m": 1, "h": 60, "d": 24 * 60}

_RESERVED = (
    *("partition", "account", "qos", "constraint", "gpus-per-node", "cpus-per-task", "mem", "time"),
    *("signal", "requeue", "array", "job-name", "comment", "output", "error", "open-mode", "nodes"),
    *("ntasks", "ntasks-per-node", "dependency"),
)
"""Options of sbatch that `JobOptions` or `slurm.submit` set."""

_Word = Annotated[str, msgspec.Meta(pattern=r"^[^\s\"'`$\\]+$", max_length=200)]


class JobOptions(Config, frozen=True, kw_only=True):
    """The options of one kind of job; None means the site's default, except for `time`."""

    partition: _Word | None = None
    account: _Word | None = None
    qos: _Word | None = None
    constraint: _Word | None = None
    gpus: Natural = 1
    """Per node; a run of several processes has one for each, or none if this is 0."""
    cpus: Positive | None = None
    """Per process."""
    mem: Annotated[str, msgspec.Meta(pattern=r"^\d+[KMGT]?$")] | None = None
    """Per node, such as 32G."""
    time: int | str | None = None
    """90m, 12h, 2d, or [DAYS-]HOURS:MINUTES:SECONDS in quotes; required. A bare number is refused:
    YAML reads 12:00:00 without quotes as 43200."""
    signal: Positive = 90
    """Seconds before its time limit at which a job is told to stop, and is requeued."""
    requeues: Natural = 100
    """How often a job may reach its time limit."""
    workers: Positive | None = None
    """Jobs that build one stage together; by default 8, and 1 for the rest of a source."""
    runs: Positive = 1
    """Runs that one job executes, one after another; they share its start-up time."""
    setup: tuple[str, ...] = ()
    """Shell lines to execute first, such as ``module load cuda``."""
    extra: dict[str, str | int | bool] = {}
    """Any other option of sbatch, such as ``{reservation: spring}``."""

    def __post_init__(self) -> None:
        if self.minutes is not None and self.signal >= self.minutes * 60:
            raise ValueError(f"signal={self.signal} (seconds) is not less than time={self.time}")
        if reserved := sorted(name for name in self.extra if name.replace("_", "-") in _RESERVED):
            raise ValueError(f"extra cannot set {reserved[0]}, which bench or another option sets")

    @property
    def minutes(self) -> int | None:
        """The time limit in minutes, seconds rounded up."""
        if self.time is None:
            return None
        text = self.time.strip() if isinstance(self.time, str) else ""
        if short := _UNIT.fullmatch(text):
            return int(short[1]) * _MINUTES[short[2]]
        if clock := _TIME.fullmatch(text):
            parts = {name: int(value or 0) for name, value in clock.groupdict().items()}
            hours = parts["days"] * 24 + parts["hours"]
            return hours * 60 + parts["minutes"] + (parts["seconds"] > 0)
        raise ValueError(f"{self.time!r} is not a time; write 90m, 12h, 2d or '1-12:00:00'")


def read_profile(path: Path | None, settings: Sequence[str], before: Json | None = None) -> Json:
    """Return a profile: kind of job to its options; those of ``default`` apply to all kinds.

    Args:
        path: The site's YAML file.
        settings: Override it: ``partition=gpu``, or ``run.time=12h`` for one kind.
        before: The profile to override if there is no file.

    Raises:
        RequestError: If an option is unknown or its value is invalid.
    """
    profile: Json = read_yaml(path) if path else copy.deepcopy(before or {})
    for text in settings:
        name, value = parse_assignment(text)
        where = name.split(".")
        assign(profile, [DEFAULT, *where] if len(where) == 1 else where, value)
    for kind in profile:
        if kind not in (DEFAULT, *KINDS):
            raise unknown_name("kind of job", str(kind), (DEFAULT, *KINDS))
        options_of(profile, kind)
    return profile


def require_times(profile: Json) -> None:
    """Make sure that every kind of job has a time limit: submitit would give it five minutes.

    Raises:
        RequestError: If one has none.
    """
    for kind in KINDS:
        if options_of(profile, kind).minutes is None:
            raise RequestError(
                f"{kind} jobs have no time limit", "add --slurm time=12h, or `time` to the profile"
            )


def options_of(profile: Json, kind: str) -> JobOptions:
    """Return the options of a kind of job.

    Raises:
        RequestError: If the profile is invalid.
    """
    gpus = {"gpus": 0} if kind in _WITHOUT_GPU else {}
    parts = [profile.get(name) or {} for name in (DEFAULT, kind)]
    for part in parts:
        if not isinstance(part, dict):
            raise RequestError(f"the Slurm profile: {part!r} is not a mapping of options")
    return parse_config(JobOptions, {**parts[0], **gpus, **parts[1]}, f"the Slurm profile, {kind}")


def parameters(options: JobOptions, nodes: int = 1, processes: int = 1) -> dict[str, Any]:
    """Return submitit's parameters for a job's options.

    Args:
        options: The options.
        nodes: Nodes per job.
        processes: Processes per node, with a GPU each if the options ask for any.
    """
    gpus = processes if options.gpus and nodes * processes > 1 else options.gpus
    values: dict[str, Any] = {
        "partition": options.partition,
        "account": options.account,
        "qos": options.qos,
        "constraint": options.constraint,
        "gpus_per_node": gpus or None,
        "cpus_per_task": options.cpus,
        "mem": options.mem,
        "time": options.minutes,
        "nodes": nodes,
        "ntasks_per_node": processes,
        "signal_delay_s": options.signal,
        "additional_parameters": {"requeue": True, **options.extra},
    }
    if options.cpus:
        # Since Slurm 22.05 srun does not inherit it from sbatch.
        values["srun_args"] = [f"--cpus-per-task={options.cpus}"]
    return {name: value for name, value in values.items() if value is not None}
