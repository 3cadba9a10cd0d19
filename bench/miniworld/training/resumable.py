"""The loop that all trainings share: checkpoints that survive a kill, and learning curves.

What a step samples depends only on the seed and the step's number, so a training that was killed
and continued sees the same batches as one that was not.
"""

import json
import logging
import math
import multiprocessing
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.core.errors import BenchError, RequestError
from bench.core.schedules import half_cosine

CHECKPOINT_SECONDS = 120.0
CURVE_FILE = "curve.jsonl"
CPU = torch.device("cpu")

log = logging.getLogger(__name__)


class Stateful(Protocol):
    """A model or an optimiser: anything whose state a checkpoint holds."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:  # noqa: ANN401
        """Take the state over; torch's classes return various things."""
        ...


@dataclass(frozen=True)
class Training:
    """One model's training, as far as the loop needs to know it."""

    name: str
    steps: int
    state: Mapping[str, Stateful]
    """The models and optimisers that a checkpoint holds, by name."""
    take_step: Callable[[int], torch.Tensor]
    """Does the step of the given number and returns its loss, a scalar."""
    evaluate: Callable[[], Mapping[str, float]]
    """Returns the figures that the learning curve records beside the loss."""
    evaluate_every: int
    writes: bool = True
    """Whether this process keeps the checkpoint and the curve; one of several does."""
    device: torch.device = CPU
    """Where the steps are done."""


def run(training: Training, work: Path) -> None:
    """Train from the last checkpoint, or from the start, to the last step.

    Args:
        training: What to train.
        work: Folder of the checkpoint `<name>.pt` and of the learning curves.

    Raises:
        BenchError: The process that started this one is gone.
    """
    checkpoint = work / f"{training.name}.pt"
    first_step, seconds_before = _load(checkpoint, training.state)
    started = saved = time.monotonic()
    mean_loss = RunningMean()
    for step in range(first_step, training.steps):
        with _attention(training.device):
            mean_loss.add(training.take_step(step))
        _stop_if_orphaned()
        done = step + 1
        seconds = seconds_before + time.monotonic() - started
        if not training.writes:
            continue
        if done % training.evaluate_every == 0 or done == training.steps:
            figures = {"loss": mean_loss.value, **training.evaluate()}
            _append_to_curve(work, training.name, done, seconds, figures)
        if time.monotonic() - saved > CHECKPOINT_SECONDS or done == training.steps:
            _save(checkpoint, training.state, done, seconds)
            saved = time.monotonic()


class RunningMean:
    """A mean over about the last 100 values."""

    def __init__(self) -> None:
        self._sum: torch.Tensor | float = 0.0
        self._weight = 0.0

    def add(self, value: torch.Tensor) -> None:
        """Take one more scalar into the mean, where it is: the host does not wait for it."""
        self._sum = 0.99 * self._sum + value.detach().double()
        self._weight = 0.99 * self._weight + 1.0

    @property
    def value(self) -> float:
        """The mean; not a number as long as there is no value. Waits for the device."""
        return float(self._sum) / self._weight if self._weight else math.nan


def step_generator(
    seed: int, step: int, rank: int = 0, device: torch.device = CPU
) -> torch.Generator:
    """Return the random generator of a step, in the process of that rank (below 16).

    A GPU's samples others than a CPU's, from the same seed.
    """
    return torch.Generator(device).manual_seed((seed << 40) + (step << 4) + rank)


def warm_cosine(step: int, steps: int, warm_steps: int) -> float:
    """Return the factor of the learning rate: a linear rise, then half a cosine to zero."""
    return min(1.0, (step + 1) / warm_steps) * half_cosine(step, steps)


def half_precision(device: torch.device = CPU) -> torch.autocast:
    """Return a context of bfloat16 where the device has it; a CPU without is 8 times slower."""
    if device.type == "cuda":
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_it = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device.type, torch.bfloat16, enabled=has_it)


def device_named(name: str) -> torch.device:
    """Return the device to train on.

    Raises:
        RequestError: It is a GPU, and PyTorch finds none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise RequestError("PyTorch finds no CUDA GPU here", "use --device cpu")
    return torch.device(name)


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """Return a context with the attention that is fastest on a device.

    On a CPU the fused attention's backward pass takes a third of a UNet step; plain products make
    the whole step 1.4 times faster. CUDA chooses for itself (not measured).
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set one learning rate for all parameters."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def _load(checkpoint: Path, state: Mapping[str, Stateful]) -> tuple[int, float]:
    """Take over a checkpoint, if there is one; return its step and the seconds spent so far."""
    if not checkpoint.exists():
        return 0, 0.0
    # Each part takes its tensors to where it is; Adam's step counts are to stay on the CPU.
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    for name, part in state.items():
        part.load_state_dict(saved["state"][name])
    log.info("%s continues from step %d", checkpoint.stem, saved["step"])
    return int(saved["step"]), float(saved["seconds"])


def _save(checkpoint: Path, state: Mapping[str, Stateful], step: int, seconds: float) -> None:
    """Write a checkpoint under a temporary name first, so that a kill leaves the old one whole."""
    partial = checkpoint.with_suffix(".partial")
    states = {name: _on_cpu(part.state_dict()) for name, part in state.items()}
    torch.save({"step": step, "seconds": seconds, "state": states}, partial)
    partial.replace(checkpoint)


def _on_cpu(state: Any) -> Any:  # noqa: ANN401
    """Return a state with its tensors on the CPU, so that a checkpoint needs no GPU."""
    match state:
        case torch.Tensor():
            return state.detach().cpu()
        case Mapping():
            return {name: _on_cpu(value) for name, value in state.items()}
        case list():
            return [_on_cpu(value) for value in state]
    return state


def _append_to_curve(
    work: Path, name: str, step: int, seconds: float, figures: Mapping[str, float]
) -> None:
    """Add a line to the curves; after a kill some steps occur twice: see `read_curve`."""
    rounded = {key: round(value, 5) for key, value in figures.items()}
    line = json.dumps({"model": name, "step": step, "seconds": round(seconds, 1), **rounded})
    with (work / CURVE_FILE).open("a", encoding="utf-8") as curve:
        curve.write(line + "\n")
    log.info("%s", line)


def log_to_stderr() -> None:
    """Log a training process to standard error, with the time."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")


def read_curve(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of learning curves; of lines for one step, the last one."""
    lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return list({(line["model"], line["step"]): line for line in lines}.values())


def _stop_if_orphaned() -> None:
    """End a worker whose parent was killed: its successor would train the same model again."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise BenchError("the training's main process is gone", "start the training again")
