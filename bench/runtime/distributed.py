"""Several processes of one run, as torchrun or `accelerate launch` start them.

The main process takes the lock, collects the images, evaluates and writes. The others train with
it, and otherwise wait for its broadcasts.
"""

import os
from datetime import timedelta
from typing import TypeVar, cast

from bench.core.errors import RequestError
from bench.core.specs import TrainSpec

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long a process waits for the main one, which may be collecting the images meanwhile.

When the main process ends, for whatever reason, the launcher ends the others at once.
"""


def count() -> int:
    """Return how many processes execute this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Return whether this is the process that evaluates, writes and reports."""
    return int(os.environ.get("RANK", "0")) == 0


def local_rank() -> int:
    """Return this process's number on its machine, which is also its GPU's."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def job() -> str:
    """Return the name of this process's job; empty outside of a job.

    It is the local executor's, else Slurm's: ``123``, or ``123_4`` in an array.
    """
    local, array = (
        os.environ.get(name) for name in ("SUBMITIT_LOCAL_JOB_ID", "SLURM_ARRAY_JOB_ID")
    )
    if local or not array:
        return local or os.environ.get("SLURM_JOB_ID", "")
    return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"


def check_count(train: TrainSpec) -> None:
    """Make sure that there are as many processes as a training asks for; 1 allows any number.

    Raises:
        RequestError: If not.
    """
    wanted, running = train.processes, count()
    if wanted not in (1, running):
        raise RequestError(
            f"train.nodes={train.nodes} and train.gpus_per_node={train.gpus_per_node} ask for "
            f"{wanted} processes, but {running} {'is' if running == 1 else 'are'} running",
            f"start `torchrun --nnodes={train.nodes} --nproc-per-node={train.gpus_per_node} -m -- "
            "bench.cli run …`, or add --on slurm",
        )


def broadcast(value: T | None = None) -> T:
    """Return, in every process, the value that the main process passes; all must call it.

    The others wait for it, and pass nothing.
    """
    if count() == 1:
        return cast("T", value)
    import torch
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
    values = [value]
    broadcast_object_list(values)
    return cast("T", values[0])
