"""Ambiguous processes at one run, as torchrun or `accelerate launch` start them.

The first one is the run: it takes the lock, collects the images, judges, and writes. The others
train with it, and otherwise wait for what it says.
"""

import os
from datetime import timedelta
from typing import TypeVar

from bench.core.errors import RequestError
from bench.core.specs import TrainSpec

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long a process waits for the first one, which may be collecting the images meanwhile.

That one's end, whatever the reason, ends the others at once.
"""


def count() -> int:
    """Return how many processes carry out this run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Return whether this is the process that judges, writes and speaks."""
    return int(os.environ.get("RANK", "0")) == 0


def local_rank() -> int:
    """Return this process's number on its machine, which is also its GPU's."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def job() -> str:
    """Return the name of the job that this process is of; empty where there is none.

    A local executor's, else Slurm's: ``123``, or ``123_4`` in an array.
    """
    local, array = (
        os.environ.get(name) for name in ("SUBMITIT_LOCAL_JOB_ID", "SLURM_ARRAY_JOB_ID")
    )
    if local or not array:
        return local or os.environ.get("SLURM_JOB_ID", "")
    return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"


def check_count(train: TrainSpec) -> None:
    """Make sure that as many processes are here as a training asks for; one allows for any.

    Raises:
        RequestError: If not.
    """
    wanted, found = train.processes, count()
    if wanted not in (1, found):
        raise RequestError(
            f"train.nodes={train.nodes} and train.gpus_per_node={train.gpus_per_node} ask for "
            f"{wanted} processes, and {'here is 1' if found == 1 else f'here are {found}'}",
            f"start `torchrun --nnodes={train.nodes} --nproc-per-node={train.gpus_per_node} -m -- "
            "bench.cli run …`, or add --on slurm",
        )


def broadcast(value: T) -> T:
    """Return, in every process, the value that the main process gives; all must call it.

    The others wait for it, and whatever they give themselves is ignored.
    """
    if count() == 1:
        return value
    import torch
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE)
    values = [value]
    broadcast_object_list(values)
    return values[0]
