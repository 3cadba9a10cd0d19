"""Train the miniature world's image autoencoder: 32 pixels to an 8 x 8 latent of 8 channels.

It bounds what the generator can show. With 4 latent channels, reconstructions lost half of what
tells the classes apart; with 8, most of it stays.
"""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor

from bench.core.files import atomic_folder
from bench.miniworld.training.recipe import Recipe
from bench.miniworld.training.resumable import (
    CPU,
    Training,
    half_precision,
    run,
    set_rate,
    step_generator,
    warm_cosine,
)

LATENT_CHANNELS = 8
IMAGE_SIZE = 32
WARM_STEPS = 100
EDGE_WEIGHT = 0.5
KL_WEIGHT = 1e-4
VALIDATION_IMAGES = 500
ENCODE_BATCH = 500


def new_vae() -> AutoencoderKL:
    """Return an untrained autoencoder of 0.66 M parameters."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=IMAGE_SIZE,
        mid_block_add_attention=False,
    )


def train_vae(work: Path, recipe: Recipe, device: torch.device = CPU) -> None:
    """Train the autoencoder and write `work/vae` with the pool's latents, unless it is there.

    Args:
        work: Holds `pairs.npy`; takes checkpoints and curves.
        recipe: How long and how fast.
        device: Where.
    """
    if (work / "vae").exists():
        return
    step = VaeStep(work, recipe, device)
    run(step.training(), work)
    with atomic_folder(work / "vae") as folder:
        save_latents(step, folder)
        save_vae(step.vae, folder)


def save_vae(vae: AutoencoderKL, folder: Path) -> None:
    """Write an autoencoder, wherever it is, into a folder."""
    on_cpu = AutoencoderKL.from_config(vae.config)
    on_cpu.load_state_dict({name: value.cpu() for name, value in vae.state_dict().items()})
    # `from_config` takes the default of what was registered after the making.
    on_cpu.register_to_config(scaling_factor=vae.config.scaling_factor)
    on_cpu.save_pretrained(folder)


class VaeStep:
    """The autoencoder, its optimiser and the images; a call does one step."""

    def __init__(self, work: Path, recipe: Recipe, device: torch.device = CPU) -> None:
        torch.manual_seed(recipe.seed)
        images = torch.from_numpy(np.load(work / "pairs.npy")).permute(0, 3, 1, 2)
        self.images = images.contiguous().to(device)
        # The last images of the pool, of every kind; the task's test images stay unseen.
        self._held_out = as_signed(self.images[-VALIDATION_IMAGES:])
        self._recipe, self._device = recipe, device
        self.vae = new_vae().to(device)
        self.optimiser = torch.optim.AdamW(
            self.vae.parameters(), betas=(0.9, 0.99), weight_decay=1e-4
        )

    def training(self) -> Training:
        """Return what the loop needs to know."""
        return Training(
            name="vae-training",
            steps=self._recipe.vae_steps,
            state={"model": self.vae, "optimiser": self.optimiser},
            take_step=self,
            evaluate=self.validation_figures,
            evaluate_every=400,
            device=self._device,
        )

    def __call__(self, step: int) -> Tensor:
        """Do one step; return the loss of its batch."""
        recipe = self._recipe
        rate = recipe.vae_rate * warm_cosine(step, recipe.vae_steps, WARM_STEPS)
        set_rate(self.optimiser, rate)
        generator = step_generator(recipe.seed, step, device=self._device)
        count = len(self.images) - len(self._held_out)
        chosen = torch.randint(
            0, count, (recipe.vae_batch,), generator=generator, device=self._device
        )
        images = as_signed(self.images[chosen])
        images = images.flip(3) if step % 2 else images
        self.vae.train()
        with half_precision(self._device):
            latent = self.vae.encode(images).latent_dist
            rebuilt = self.vae.decode(latent.sample(generator)).sample
        loss: Tensor = reconstruction_loss(rebuilt.float(), images)
        loss += KL_WEIGHT * latent.kl().float().mean() / images[0].numel()
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.vae.parameters(), 1.0)
        self.optimiser.step()
        return loss

    @torch.no_grad()
    def validation_figures(self) -> dict[str, float]:
        """Return the peak signal-to-noise ratio of held-out images, in dB."""
        self.vae.eval()
        latent = self.vae.encode(self._held_out).latent_dist.mean
        rebuilt = self.vae.decode(latent).sample.clamp(-1, 1)
        error = (rebuilt - self._held_out).square().mean()
        return {"psnr_db": float(10 * torch.log10(4 / error))}


def as_signed(images: Tensor) -> Tensor:
    """Return uint8 images as float32 from -1 to 1, the range diffusers' autoencoders use."""
    return images.float().div(127.5).sub(1)


def reconstruction_loss(rebuilt: Tensor, images: Tensor) -> Tensor:
    """Return how far rebuilt images are from images, both float32 [n, 3, height, width].

    Absolute and squared error, and the absolute error of neighbouring pixels' differences: the
    last keeps the outlines, by which the classes differ.
    """
    error = rebuilt - images
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + 2 * error.square().mean() + EDGE_WEIGHT * (across + down)


@torch.no_grad()
def save_latents(step: VaeStep, folder: Path) -> None:
    """Write `latents.safetensors` and set the scale that brings the latents to unit variance.

    The file holds `mean` and `deviation`, float16 [2 x images, 8, 8, 8], scaled: the images as
    they are, then mirrored.
    """
    step.vae.eval()
    means, deviations = [], []
    for images in (step.images, step.images.flip(3)):
        for batch in torch.split(images, ENCODE_BATCH):
            with half_precision(step.images.device):
                latent = step.vae.encode(as_signed(batch)).latent_dist
            means.append(latent.mean.float())
            deviations.append(latent.std.float())
    mean, deviation = torch.cat(means), torch.cat(deviations)
    scale = float(1 / mean.std())
    step.vae.register_to_config(scaling_factor=scale)
    scaled = {"mean": (mean * scale).half(), "deviation": (deviation * scale).half()}
    tensors = {name: tensor.cpu() for name, tensor in scaled.items()}
    save_file(tensors, folder / "latents.safetensors")
