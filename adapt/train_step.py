"""One optimiser step: hides precision, processes and short memory from the training loop."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin
from torch import Tensor, nn

from adapt.data import RankBatch
from adapt.models import Classifier
from adapt.optimise import make_optimiser, set_learning_rate
from adapt.precision import check_precision
from bench.core.errors import BenchError
from bench.core.specs import TrainSpec
from bench.plugins.objective import Objective
from bench.runtime.memory_errors import is_out_of_memory

ComputeLoss = Callable[[Classifier, Tensor, Tensor], Tensor]
"""An objective's loss of a classifier, images and labels."""


class _Loss(nn.Module):
    """The loss as a module, for the wrappers of precision and processes to see one forward pass."""

    def __init__(self, classifier: Classifier, objective: Objective, *, compiled: bool) -> None:
        super().__init__()
        self.classifier = classifier
        self._compute = compiled_loss(objective.loss) if compiled else objective.loss

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return self._compute(self.classifier, images, labels)


def compiled_loss(loss: ComputeLoss) -> ComputeLoss:
    """Return the compiled loss; wrappers of precision and processes stay outside.

    Full batches get a graph of their size. A last, shorter one makes a second, which then takes any
    size. Without `fallback_random`, a tower would drop other patches than without compilation.
    """
    # What earlier trainings of this process compiled would count towards torch's limit of eight.
    torch.compiler.reset()
    compiled: ComputeLoss = torch.compile(loss, options={"fallback_random": True})
    return compiled


class TrainStep:
    """A classifier with its optimiser; every process holds the same.

    Args:
        classifier: The classifier, trained in place.
        objective: What to minimise.
        spec: The training.
        say: Called with a message when memory is short.

    Attributes:
        accelerator: The processes and the device.
        micro_batch: Images in one forward pass, once memory was too short for more; else None.

    Raises:
        RequestError: If the device does not support the precision.
    """

    def __init__(
        self,
        classifier: Classifier,
        objective: Objective,
        spec: TrainSpec,
        say: Callable[[str], None],
    ) -> None:
        classifier.visual.requires_grad_(not spec.freeze_tower)
        self.accelerator = _accelerator(classifier.device, spec.precision)
        self.micro_batch: int | None = None
        self._spec = spec
        self._say = say
        loss = _Loss(classifier, objective, compiled=spec.compile)
        self._loss, self._optimiser = self.accelerator.prepare(loss, make_optimiser(loss, spec))

    def backward(self, rank_batch: RankBatch, pixels: Tensor, labels: Tensor) -> Tensor:
        """Add this process's share of a batch's gradient; return its share of the loss.

        When memory is short, it is computed again in halves; the batch stays the same.

        Args:
            rank_batch: This process's share of the batch.
            pixels: Normalised images, float32 ``[b, 3, h, w]``.
            labels: Classes, int64 ``[b]``.

        Raises:
            BenchError: If memory is too short for one image, or while several processes train.
        """
        while True:
            size = self.micro_batch or self._spec.micro_batch or len(labels)
            try:
                parts = torch.split(pixels, size), torch.split(labels, size)
                return self._accumulate(rank_batch, *parts)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._may_halve(min(size, len(labels)), error)
            # Out of the handler, where the error still holds its tensors.
            self._optimiser.zero_grad()
            if self.accelerator.device.type == "cuda":
                torch.cuda.empty_cache()

    def update(self, rate: float) -> Tensor:
        """Clip the gradient and take a step; return the norm that the gradient had."""
        set_learning_rate(self._optimiser, rate)
        norm = self.accelerator.clip_grad_norm_(self._loss.parameters(), self._spec.clip_norm)
        self._optimiser.step()
        self._optimiser.zero_grad()
        scaled = self.accelerator.scaler is not None
        # A loss scaler skips steps whose gradient overflows.
        return torch.zeros_like(norm) if scaled else norm.detach()

    def state(self) -> dict[str, Any]:
        """Return the states of the optimiser and of the loss scaler."""
        scaler = self.accelerator.scaler
        return {
            "optimiser": self._optimiser.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned.

        Raises:
            LookupError, TypeError, ValueError, RuntimeError: If it is something else.
        """
        self._optimiser.load_state_dict(state["optimiser"])
        for parameter, moments in self._optimiser.state.items():
            for name in ("exp_avg", "exp_avg_sq"):
                if moments[name].shape != parameter.shape:
                    raise ValueError(f"{name} of shape {tuple(moments[name].shape)}")
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def _accumulate(
        self, rank_batch: RankBatch, pixels: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> Tensor:
        total = torch.zeros((), device=self.accelerator.device)
        for index, (images, classes) in enumerate(zip(pixels, labels, strict=True)):
            last = index == len(labels) - 1
            with nullcontext() if last else self.accelerator.no_sync(self._loss):
                loss = self._loss(images, classes) * rank_batch.weight(len(classes))
                # Gradients are averaged over processes, but a batch's shares must be added up.
                self.accelerator.backward(loss * self.accelerator.num_processes)
            total += loss.detach()
        return total

    def _may_halve(self, size: int, error: RuntimeError) -> None:
        """Halve the images of a forward pass, if that can help."""
        half = max(size // 2, 1)
        # Processes that have begun an all-reduce cannot begin it again.
        if size == 1 or self.accelerator.num_processes > 1:
            raise BenchError(
                f"memory is too short for {size} images in one forward pass of a process",
                f"set train.micro_batch={half}; train.batch_size stays as it is",
            ) from error
        self.micro_batch = half
        self._say(
            f"memory is too short for {size} images in one forward pass; going on with {half}, "
            f"and with batches of {self._spec.batch_size} as before"
        )


def _accelerator(device: torch.device, precision: str) -> Accelerator:
    check_precision(precision, device)
    # Else a process keeps the precision of its first training.
    AcceleratorState._reset_state()
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=precision if precision in {"bf16", "fp16"} else "no",
        # Else an environment variable may scale every gradient.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )
