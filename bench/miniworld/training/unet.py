"""Train the miniature world's UNet on the latents of the pool.

On a CPU, two processes of one thread each are faster than one process of two; they share their
gradients through gloo.
"""

import copy
import json
import multiprocessing
import uuid
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.files import atomic_file
from bench.miniworld.training.clip import CONDITIONER
from bench.miniworld.training.diffusion import (
    UNET_FILE,
    encoded_texts,
    new_scheduler,
    new_unet,
    pipeline_of,
)
from bench.miniworld.training.fidelity import generated_accuracies
from bench.miniworld.training.oracle import ORACLE_FILE
from bench.miniworld.training.recipe import Recipe
from bench.miniworld.training.resumable import (
    CPU,
    Training,
    half_precision,
    log_to_stderr,
    run,
    set_rate,
    step_generator,
)

CAPTION_DROP = 0.1
"""Share of the images trained without their caption, for classifier-free guidance."""
WARM_STEPS = 150
COOL_SHARE = 0.3
"""The learning rate falls to zero over this last share of the steps."""
LARGEST_EMA_DECAY = 0.998
TIME_CENTRE, TIME_SPREAD = -0.3, 1.2
"""The times trained at are 1,000 x the logistic of such a normal sample: most where an image's
structure is decided, few where all is noise or all is plain (Esser et al. 2024, section 3.1)."""
EVALUATE_EVERY = 2_000
IMAGES_PER_CLASS = 10


def train_unet(work: Path, recipe: Recipe, device: torch.device = CPU) -> None:
    """Train the UNet and write `work/unet.safetensors`, unless it is there.

    Args:
        work: Holds `conditioner/`, `vae/`, `captions.json` and the oracle; takes checkpoints and
            curves.
        recipe: How long, how fast and in how many processes.
        device: Where.

    Raises:
        BenchError: One of the processes ended early.
    """
    if (work / UNET_FILE).exists():
        return
    if recipe.processes == 1:
        _train(UnetStep(0, work, recipe, device), work)
    else:
        _train_in_processes(work, recipe, device)


def _train_in_processes(work: Path, recipe: Recipe, device: torch.device) -> None:
    # A meeting file left by a killed run would let the processes meet ghosts; each run has its own.
    for stale in work.glob("meeting-*"):
        stale.unlink()
    meeting = work / f"meeting-{uuid.uuid4().hex}"
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=_unet_worker, args=(rank, meeting, work, recipe, device), daemon=True)
        for rank in range(recipe.processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    meeting.unlink(missing_ok=True)
    if any(worker.exitcode != 0 for worker in workers):
        raise BenchError("a process of the UNet's training ended early", "see its log; run again")


def _unet_worker(
    rank: int, meeting: Path, work: Path, recipe: Recipe, device: torch.device
) -> None:
    """Train as one of the processes."""
    log_to_stderr()
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{meeting.resolve()}",
        rank=rank,
        world_size=recipe.processes,
        timeout=timedelta(minutes=30),  # one evaluates while the other waits
    )
    _train(UnetStep(rank, work, recipe, device), work)
    dist.destroy_process_group()


def _train(step: "UnetStep", work: Path) -> None:
    """Do all steps; the first of the processes keeps checkpoints and writes the result."""
    training = step.training()
    run(training, work)
    if training.writes:
        weights = {name: value.cpu() for name, value in step.average.state_dict().items()}
        with atomic_file(work / UNET_FILE) as partial:
            save_file(weights, partial)


class UnetStep:
    """The UNet, its moving average, its optimiser and the latents; a call does one step."""

    def __init__(self, rank: int, work: Path, recipe: Recipe, device: torch.device = CPU) -> None:
        torch.manual_seed(recipe.seed)
        self.unet = new_unet().to(device)
        self.average = copy.deepcopy(self.unet).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self.unet.parameters(), betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        latents = load_file(work / "vae" / "latents.safetensors")
        self._mean, self._deviation = latents["mean"].to(device), latents["deviation"].to(device)
        captions = json.loads((work / "captions.json").read_text(encoding="utf-8"))
        states = encoded_texts(work / CONDITIONER.name, [*captions, ""], device)
        self._states, self._no_caption = states[:-1], states[-1]
        self._scheduler = new_scheduler()
        self._rank, self._recipe, self._work, self._device = rank, recipe, work, device

    def training(self) -> Training:
        """Return what the loop needs to know."""
        return Training(
            name="unet-training",
            steps=self._recipe.unet_steps,
            state={"model": self.unet, "average": self.average, "optimiser": self.optimiser},
            take_step=self,
            evaluate=self.read_accuracies,
            evaluate_every=EVALUATE_EVERY,
            writes=self._rank == 0,
            device=self._device,
        )

    def __call__(self, step: int) -> Tensor:
        """Do one step; return the squared error of this process's half of the batch."""
        recipe = self._recipe
        warm = min(1.0, (step + 1) / WARM_STEPS)
        cool = min(1.0, (1 - step / recipe.unet_steps) / COOL_SHARE)
        set_rate(self.optimiser, recipe.unet_rate * warm * cool)
        noisy, times, states, target = self._batch(step)
        with half_precision(self._device):
            predicted = self.unet(noisy, times, states).sample
        loss: Tensor = (predicted.float() - target).square().mean()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        weights = list(self.unet.parameters())
        if recipe.processes > 1:
            _share_gradients(weights)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        self.optimiser.step()
        decay = min(LARGEST_EMA_DECAY, (1 + step) / (10 + step))
        with torch.no_grad():  # or the average would remember every step
            torch._foreach_lerp_([*self.average.parameters()], [*weights], 1 - decay)
        return loss

    def read_accuracies(self) -> dict[str, float]:
        """Return how often the oracle reads the right class in generated images, by domain."""
        pipeline = pipeline_of(self._work, self.average, self._work / "vae").to(self._device)
        return generated_accuracies(pipeline, self._work / ORACLE_FILE, IMAGES_PER_CLASS)

    def _batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return noisy latents, their times, the captions' states and the velocities to find."""
        size, device = self._recipe.unet_batch, self._device
        generator = step_generator(self._recipe.seed, step, self._rank, device)
        chosen = torch.randint(0, len(self._mean), (size,), generator=generator, device=device)
        mean, deviation = self._mean[chosen].float(), self._deviation[chosen].float()
        sampled = torch.randn(mean.shape, generator=generator, device=device)
        latents = mean + deviation * sampled
        # The second half of the latents are the mirrored images, in the same order.
        states = self._states[chosen % len(self._states)]
        dropped = torch.rand(size, generator=generator, device=device) < CAPTION_DROP
        states = torch.where(dropped[:, None, None], self._no_caption, states)
        noise = torch.randn(mean.shape, generator=generator, device=device)
        times = training_times(size, generator)
        noisy = self._scheduler.add_noise(latents, noise, times)
        target = self._scheduler.get_velocity(latents, noise, times)
        return noisy, times, states.float(), target


def training_times(count: int, generator: torch.Generator) -> Tensor:
    """Return the times to train at, int64 [count] on the generator's device, from 0 to 999."""
    sampled = torch.randn(count, generator=generator, device=generator.device)
    normal = TIME_CENTRE + TIME_SPREAD * sampled
    return (1000 * torch.sigmoid(normal)).long().clamp(max=999)


def _share_gradients(weights: list[torch.nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes, in one exchange."""
    processes = dist.get_world_size()
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    together = torch.cat([gradient.flatten() for gradient in gradients]).div_(processes)
    dist.all_reduce(together)
    parts = torch.split(together, [gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
