"""One optimiser step: hides precision, processes and short memory from the training loop."""

from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin
from torch import Tensor, nn

from adapt.batches.ranks import RankBatch
from adapt.gradient import Encoder, Gradient, Scalars
from adapt.optimise import make_optimiser, set_learning_rate, set_weight_decay
from adapt.precision import check_precision
from bench.core.errors import BenchError, RequestError
from bench.core.specs import TrainSpec
from bench.plugins.objective import Batch, Objective
from bench.plugins.optional import FollowsSteps
from bench.runtime.memory_errors import is_out_of_memory


class TrainStep:
    """An objective with its optimiser; every process holds the same.

    Args:
        objective: What to minimise, trained in place.
        spec: The training.
        coupled: Whether the images of a batch see each other.
        say: Called with a message when memory is short.

    Attributes:
        accelerator: The processes and the device.
        micro_batch: Images in one forward pass, once memory was too short for more; else None.
        whole: Whether batch statistics are trained, which need whole batches.

    Raises:
        RequestError: If the device does not support the precision, or micro-batches are asked for
            although batch statistics are trained.
    """

    def __init__(
        self,
        objective: Objective,
        spec: TrainSpec,
        say: Callable[[str], None],
        *,
        coupled: bool = False,
    ) -> None:
        objective.model.visual.requires_grad_(not spec.freeze_tower)
        self.accelerator = _accelerator(objective.model.device, spec.precision)
        self.micro_batch: int | None = None
        self._objective = objective
        self._spec = spec
        self._say = say
        self.whole = _sees_batch_statistics(objective)
        if self.whole and spec.micro_batch is not None:
            raise RequestError(
                f"train.micro_batch={spec.micro_batch}: batch norm needs whole batches",
                "leave it out; or take layer norm, where the objective has `norm=ln`",
            )
        encoder = Encoder(objective, compile=spec.compile)
        self._encoder, self._optimiser = self.accelerator.prepare(
            encoder, make_optimiser(encoder, spec)
        )
        self._gradient = Gradient(objective, self._encoder, self.accelerator, coupled=coupled)

    def backward(self, rank_batch: RankBatch, batch: Batch, step: int) -> Scalars:
        """Add this process's share of a batch's gradient; return its share of what is logged.

        When memory is short, it is computed again in halves; the batch stays the same.

        Args:
            rank_batch: This process's share of the batch.
            batch: Its images, normalised.
            step: The optimiser step, from 0.

        Returns:
            ``loss`` and the objective's other scalars; the sums over the processes are the batch's.

        Raises:
            BenchError: If memory is too short for one image, or while several processes train.
        """
        while True:
            size = self.micro_batch or self._spec.micro_batch or len(batch)
            try:
                return self._gradient.add(rank_batch, batch, size, step)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._may_halve(min(size, len(batch)), error)
            # Out of the handler, where the error still holds its tensors.
            self._optimiser.zero_grad()
            if self.accelerator.device.type == "cuda":
                torch.cuda.empty_cache()

    def update(self, step: int, rate: float, decay: float) -> Tensor:
        """Clip the gradient and take a step; return the norm that the gradient had.

        Args:
            step: The optimiser step, from 0.
            rate: Its learning rate.
            decay: Its weight decay, of the parameters that decay.
        """
        set_learning_rate(self._optimiser, rate)
        set_weight_decay(self._optimiser, decay)
        norm = self.accelerator.clip_grad_norm_(self._encoder.parameters(), self._spec.clip_norm)
        follower = self._objective if isinstance(self._objective, FollowsSteps) else None
        before = 1.0 if follower is None else self._scale()
        self._optimiser.step()
        self._optimiser.zero_grad()
        # A loss scaler skips steps whose gradient overflows, and then lowers its scale. The
        # optimiser's `step_was_skipped` does not see it, as a fused one skips in its own kernel.
        if follower is not None and self._scale() >= before:
            follower.after_step(step)
        scaled = self.accelerator.scaler is not None
        return torch.zeros_like(norm) if scaled else norm.detach()

    def _scale(self) -> float:
        """Return the loss scaler's scale, for which this waits; 1 without one."""
        scaler = self.accelerator.scaler
        return 1.0 if scaler is None else float(scaler.get_scale())

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

    def _may_halve(self, size: int, error: RuntimeError) -> None:
        """Halve the images of a forward pass, if that can help."""
        if self.whole:
            raise BenchError(
                f"memory is too short for {size} images, which batch norm needs at once",
                "lower train.batch_size, or use more processes",
            ) from error
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


def _sees_batch_statistics(objective: Any) -> bool:  # noqa: ANN401 (also a module)
    """Return whether a part of a batch is encoded otherwise than in the whole batch."""
    modules: list[nn.Module] = list(objective.train().modules())
    return any(isinstance(one, nn.modules.batchnorm._BatchNorm) and one.training for one in modules)


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
