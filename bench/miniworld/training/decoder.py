"""Fine-tune the autoencoder's decoder for sharp images; encoder and UNet stay as they are.

An autoencoder that is trained only on pixel differences blurs wherever it is unsure. Stable
Diffusion's was trained with a perceptual loss and against a discriminator that sees patches
(Rombach et al. 2022, section 3.1 and appendix G); so is this one, in a separate training.
"""

from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.core.files import atomic_folder
from bench.miniworld.training.appearance import fine_detail
from bench.miniworld.training.clip import CONDITIONER, PIXEL_MEAN, PIXEL_STD
from bench.miniworld.training.recipe import Recipe
from bench.miniworld.training.resumable import (
    CPU,
    Training,
    run,
    set_rate,
    step_generator,
    warm_cosine,
)
from bench.miniworld.training.vae import VALIDATION_IMAGES, as_signed, save_vae
from bench.runtime.float32 import float32_products

DECODER = "decoder"
"""Folder of the autoencoder with the decoder that ships."""
WARM_STEPS = 100
DISCRIMINATOR_STEPS = 300
"""Steps that train only the discriminator before its gradient reaches the decoder."""
ADVERSARIAL_WEIGHT = 0.5
"""Strength of the adversarial gradient beside that of the other losses, at the last layer: at the
image, where it is the same everywhere, it would be far stronger (Esser et al. 2021, equation 7)."""
SMALL = 1e-8
BETAS = (0.5, 0.9)


class Perception(nn.Module):
    """How alike two images are to a network: unit-length features of several depths.

    The network is the image tower of the generator's own CLIP. Neither the CLIP that studies adapt
    nor the oracle that judges the generator takes part, so that both remain judges from outside.

    Args:
        clip: Folder of that CLIP.
    """

    def __init__(self, clip: Path) -> None:
        super().__init__()
        model = open_clip.create_model(f"local-dir:{clip}")
        self._size: int = model.visual.image_size
        visual = model.visual.eval().requires_grad_(False)
        stem = [visual.conv1, visual.bn1, visual.act1, visual.conv2, visual.bn2, visual.act2]
        rest = [visual.conv3, visual.bn3, visual.act3, visual.avgpool, visual.layer1]
        parts = (stem, rest, [visual.layer2], [visual.layer3])
        self._depths = nn.ModuleList(nn.Sequential(*part) for part in parts)

    def forward(self, rebuilt: Tensor, images: Tensor) -> Tensor:
        """Return the mean distance of rebuilt images from images, both as `_features` takes them.

        Its gradient goes to the rebuilt ones only.
        """
        with torch.no_grad():
            wanted = self._features(images)
        pairs = zip(self._features(rebuilt), wanted, strict=True)
        distances = [(ours - theirs).square().sum(1).mean() for ours, theirs in pairs]
        return torch.stack(distances).sum()

    def _features(self, images: Tensor) -> list[Tensor]:
        """Return the features, of length 1 at every place, of float32 [n, 3, 32, 32], -1 to 1."""
        pixels = images.add(1).div(2).sub(PIXEL_MEAN).div(PIXEL_STD)
        grid = F.interpolate(pixels, size=(self._size, self._size), mode="bilinear")
        features = []
        for depth in self._depths:
            grid = depth(grid)
            features.append(F.normalize(grid, dim=1))
        return features

    def train(self, mode: bool = True) -> "Perception":
        """Stay in evaluation mode: the network is not trained."""
        return super().train(False)


def new_discriminator() -> nn.Sequential:
    """Return an untrained discriminator: a logit for each of 8 x 8 overlapping patches."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 96, 3, 1, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(96, 1, 3, 1, 1),
    )


def train_decoder(work: Path, recipe: Recipe, device: torch.device = CPU) -> None:
    """Train the decoder further and write `work/decoder`; do nothing if that is there.

    Args:
        work: Holds `pairs.npy`, `vae/` and `conditioner/`; takes checkpoints and curves.
        recipe: How long and how fast.
        device: Where.
    """
    if (work / DECODER).exists():
        return
    step = DecoderStep(work, recipe, device)
    run(step.training(), work)
    with atomic_folder(work / DECODER) as folder:
        save_vae(step.vae, folder)


class DecoderStep:
    """The autoencoder, the discriminator, their optimisers and the images; a call does one step.

    All in float32, on a GPU too: gradients of two losses are compared by their lengths.
    """

    def __init__(self, work: Path, recipe: Recipe, device: torch.device = CPU) -> None:
        torch.manual_seed(recipe.seed)
        images = torch.from_numpy(np.load(work / "pairs.npy")).permute(0, 3, 1, 2)
        self._images = images.contiguous().to(device)
        self._count = len(images) - VALIDATION_IMAGES
        latents = load_file(work / "vae" / "latents.safetensors")
        self._latents = {name: tensor.to(device) for name, tensor in latents.items()}
        self._recipe, self._device = recipe, device
        vae = AutoencoderKL.from_pretrained(work / "vae").eval().requires_grad_(False)
        self.vae: AutoencoderKL = vae.to(device, memory_format=torch.channels_last)
        self._scale = float(self.vae.config.scaling_factor)
        decoding = (self.vae.post_quant_conv, self.vae.decoder)
        self._weights = [weight for part in decoding for weight in part.parameters()]
        for weight in self._weights:
            weight.requires_grad_(True)
        self.optimiser = torch.optim.Adam(self._weights, betas=BETAS)
        self.discriminator = new_discriminator().to(device)
        self.discriminator_optimiser = torch.optim.Adam(
            self.discriminator.parameters(), betas=BETAS
        )
        self.perception = Perception(work / CONDITIONER.name).to(device)

    def training(self) -> Training:
        """Return what the loop needs to know."""
        return Training(
            name="decoder-training",
            steps=self._recipe.decoder_steps,
            state={
                "model": self.vae,
                "optimiser": self.optimiser,
                "discriminator": self.discriminator,
                "discriminator_optimiser": self.discriminator_optimiser,
            },
            take_step=self,
            evaluate=self.validation_figures,
            evaluate_every=250,
            device=self._device,
        )

    @float32_products()
    def __call__(self, step: int) -> Tensor:
        """Do one step of both; return the decoder's loss, the adversarial part left out."""
        recipe = self._recipe
        factor = warm_cosine(step, recipe.decoder_steps, WARM_STEPS)
        for optimiser in (self.optimiser, self.discriminator_optimiser):
            set_rate(optimiser, recipe.decoder_rate * factor)
        images, latents = self._batch(step_generator(recipe.seed, step, device=self._device))
        rebuilt = self.vae.decode(latents).sample
        shown = rebuilt.detach().requires_grad_(True)
        alike = F.l1_loss(shown, images) + self.perception(shown, images)
        (pull,) = torch.autograd.grad(alike, shown)
        if step >= DISCRIMINATOR_STEPS:
            (push,) = torch.autograd.grad(-self.discriminator(shown).mean(), shown)
            pull = pull + ADVERSARIAL_WEIGHT * self._ratio(rebuilt, pull, push) * push
        self.optimiser.zero_grad()
        rebuilt.backward(pull)
        nn.utils.clip_grad_norm_(self._weights, 1.0)
        self.optimiser.step()
        self._teach_discriminator(images, rebuilt.detach())
        done: Tensor = alike.detach()
        return done

    def _batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Sample images, half of them mirrored, and a latent of each."""
        size, device = self._recipe.decoder_batch, self._device
        chosen = torch.randint(0, self._count, (size,), generator=generator, device=device)
        mirrored = torch.rand(size, generator=generator, device=device) < 0.5
        images = as_signed(self._images[chosen])
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
        # Mirrored images' latents follow those of the images as they are.
        places = chosen + len(self._images) * mirrored
        mean, deviation = (self._latents[name][places].float() for name in ("mean", "deviation"))
        noise = torch.randn(mean.shape, generator=generator, device=device)
        return images, (mean + deviation * noise) / self._scale

    def _ratio(self, rebuilt: Tensor, pull: Tensor, push: Tensor) -> Tensor:
        """Return how much stronger one gradient is than the other at the decoder's last layer."""
        last = self.vae.decoder.conv_out.weight
        ours, theirs = (
            torch.autograd.grad(rebuilt, last, gradient, retain_graph=True)[0].norm()
            for gradient in (pull, push)
        )
        ratio: Tensor = ours / (theirs + SMALL)
        return ratio

    def _teach_discriminator(self, images: Tensor, rebuilt: Tensor) -> None:
        """Do the discriminator's step, with the hinge loss."""
        real, fake = self.discriminator(torch.cat([images, rebuilt])).chunk(2)
        loss = (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2
        self.discriminator_optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.discriminator_optimiser.step()

    @torch.no_grad()
    def validation_figures(self) -> dict[str, float]:
        """Return what held-out images keep of their fine detail, likeness and signal (dB)."""
        images = as_signed(self._images[self._count :])
        latents = self._latents["mean"][self._count : len(self._images)].float() / self._scale
        rebuilt = self.vae.decode(latents).sample.clamp(-1, 1)
        return {
            "psnr_db": float(10 * torch.log10(4 / (rebuilt - images).square().mean())),
            "distance": float(self.perception(rebuilt, images)),
            "fine_detail": fine_detail(rebuilt) / fine_detail(images),
        }
