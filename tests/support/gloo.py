"""Functions in several gloo processes at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing


def together(
    function: Callable[..., Any], processes: int, folder: Path, *args: object
) -> list[Any]:
    """Return what a function returns in each of several processes, by rank.

    Args:
        function: A function of a module.
        processes: How many.
        folder: A folder of this call.
        *args: What it is called with.
    """
    folder.mkdir()
    multiprocessing.start_processes(  # type: ignore[attr-defined,no-untyped-call]
        _one, (function, processes, folder, args), nprocs=processes, start_method="spawn"
    )
    files = [folder / f"{rank}.pt" for rank in range(processes)]
    return [torch.load(file, weights_only=False) for file in files]


def _one(
    rank: int, function: Callable[..., Any], processes: int, folder: Path, args: tuple[object, ...]
) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=processes
    )
    torch.save(function(*args), folder / f"{rank}.pt")
    distributed.destroy_process_group()
