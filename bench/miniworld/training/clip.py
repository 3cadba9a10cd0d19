"""Train the miniature world's two CLIPs, as open_clip loads them: `local-dir:FOLDER`.

One is adapted, the other tells the generator what a caption means, as Stable Diffusion's text
encoder is another and a stronger CLIP than the one that the paper adapts. A ResNet with one block
per stage beat small vision transformers at equal CPU time.
"""

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from bench.core.files import atomic_folder
from bench.miniworld.training import tokenizer
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

WIDTH = 128
"""Of the text towers and of the common spaces."""
PIXEL_MEAN, PIXEL_STD = 0.45, 0.25
WARM_STEPS = 60
WEIGHT_DECAY = 0.1
HELD_OUT_SHARE = 0.05
VALIDATION_BATCH = 250
SHIFT_PIXELS = 2
LARGEST_LOGIT_SCALE = math.log(100.0)
"""As CLIP itself clamps it (Radford et al. 2021, section 2.5)."""


@dataclass(frozen=True)
class ClipShape:
    """What tells the two CLIPs apart.

    Attributes:
        name: Folder of the trained model.
        image_size: Pixels that the image tower reads. Its stem and its stages halve the picture
            five times, so that of the pool's 32 pixels one place is left.
        width: Channels of the image tower's stem; a multiple of two.
    """

    name: str
    image_size: int
    width: int


ADAPTED = ClipShape("clip", image_size=32, width=12)
"""Reads the classes well enough to start from, and leaves adaptation something to add."""
CONDITIONER = ClipShape("conditioner", image_size=64, width=10)
"""Reads them as well as this pool allows; only its text tower ships."""


def configuration(shape: ClipShape) -> dict[str, Any]:
    """Return the content of `open_clip_config.json`."""
    pixels = [PIXEL_MEAN] * 3, [PIXEL_STD] * 3
    return {
        "model_cfg": {
            "embed_dim": WIDTH,
            "vision_cfg": {
                "image_size": shape.image_size,
                "layers": [1, 1, 1, 1],
                "width": shape.width,
                "patch_size": None,
            },
            "text_cfg": {
                "context_length": tokenizer.CONTEXT,
                "vocab_size": tokenizer.VOCABULARY,
                # Any name makes open_clip look for a tokenizer; it finds the one in the folder.
                "hf_tokenizer_name": "miniworld",
                "width": WIDTH,
                "heads": 4,
                "layers": 2,
            },
        },
        "preprocess_cfg": {
            "mean": pixels[0],
            "std": pixels[1],
            "interpolation": "bilinear",
            "resize_mode": "shortest",
        },
    }


def new_clip(shape: ClipShape) -> open_clip.CLIP:
    """Return an untrained CLIP."""
    return open_clip.CLIP(**configuration(shape)["model_cfg"])


def train_clip(work: Path, recipe: Recipe, device: torch.device = CPU) -> None:
    """Train the CLIP to adapt and write `work/clip`; do nothing if that is there.

    Args:
        work: Holds `pairs.npy`, `captions.json` and `tokenizer/`; takes checkpoints and curves.
        recipe: How long and how fast.
        device: Where.
    """
    _train(ADAPTED, work, recipe, device)


def train_conditioner(work: Path, recipe: Recipe, device: torch.device = CPU) -> None:
    """Train the generator's CLIP and write `work/conditioner`; see `train_clip`."""
    _train(CONDITIONER, work, recipe, device)


def _train(shape: ClipShape, work: Path, recipe: Recipe, device: torch.device) -> None:
    if (work / shape.name).exists():
        return
    torch.manual_seed(recipe.seed)
    steps = recipe.clip_steps if shape == ADAPTED else recipe.conditioner_steps
    step = ClipStep(new_clip(shape), steps, work, recipe, device)
    run(step.training(f"{shape.name}-training"), work)
    with atomic_folder(work / shape.name) as folder:
        weights = {
            # The batch counters are integers; everything else is kept in half precision.
            name: (value.half() if value.is_floating_point() else value).contiguous().cpu()
            for name, value in step.model.state_dict().items()
        }
        save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
        text = json.dumps(configuration(shape), indent=2) + "\n"
        (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
        for name in tokenizer.FILES:
            shutil.copy(work / "tokenizer" / name, folder / name)


class ClipStep:
    """The model, its optimiser and the pairs; a call does one step."""

    def __init__(
        self,
        model: open_clip.CLIP,
        steps: int,
        work: Path,
        recipe: Recipe,
        device: torch.device = CPU,
    ) -> None:
        images = torch.from_numpy(np.load(work / "pairs.npy"))
        captions = json.loads((work / "captions.json").read_text(encoding="utf-8"))
        words = tokenizer.load_tokenizer(work / "tokenizer")
        tokens = torch.from_numpy(tokenizer.token_ids(words, captions))
        # On the CPU wherever the steps are done: the held-out pairs are the same.
        order = torch.randperm(len(images), generator=step_generator(recipe.seed, 0))
        held_count = int(HELD_OUT_SHARE * len(order))
        held_out, kept = order[:held_count], order[held_count:]
        self._images, self._tokens = images[kept].to(device), tokens[kept].to(device)
        self._held_images = images[held_out].to(device)
        self._held_tokens = tokens[held_out].to(device)
        self._recipe, self._steps, self._size = recipe, steps, int(model.visual.image_size)
        self._device = device
        self.model: torch.nn.Module = model.to(device, memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(_decay_groups(self.model), betas=(0.9, 0.98))

    def training(self, name: str) -> Training:
        """Return what the loop needs to know."""
        return Training(
            name=name,
            steps=self._steps,
            state={"model": self.model, "optimiser": self.optimiser},
            take_step=self,
            evaluate=self.validation_figures,
            evaluate_every=100,
            device=self._device,
        )

    def __call__(self, step: int) -> Tensor:
        """Do one step; return the contrastive loss of its batch."""
        recipe = self._recipe
        rate = recipe.clip_rate * warm_cosine(step, self._steps, WARM_STEPS)
        set_rate(self.optimiser, rate)
        generator = step_generator(recipe.seed, step, device=self._device)
        chosen = self._batch_of_pass(step)
        images = augmented(self._images[chosen], generator)
        self.model.train()
        loss = self._loss(images, self._tokens[chosen])
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        with torch.no_grad():
            self.model.get_parameter("logit_scale").clamp_(0.0, LARGEST_LOGIT_SCALE)
        return loss

    def _batch_of_pass(self, step: int) -> Tensor:
        """Return the indices of a step's batch; each pass goes once through all, in a new order."""
        batch, size = self._recipe.clip_batch, len(self._images)
        current_pass, position = divmod(step, max(1, size // batch))
        generator = step_generator(self._recipe.seed, current_pass, rank=1, device=self._device)
        order = torch.randperm(size, generator=generator, device=self._device)
        return order[position * batch : (position + 1) * batch]

    @torch.no_grad()
    def validation_figures(self) -> dict[str, float]:
        """Return the mean contrastive loss of the held-out pairs, in batches of 250."""
        self.model.eval()
        losses = [
            self._loss(images, tokens).item()
            for images, tokens in zip(
                torch.split(self._held_images, VALIDATION_BATCH),
                torch.split(self._held_tokens, VALIDATION_BATCH),
                strict=True,
            )
            # A smaller last batch would be easier and pull the mean down.
            if len(images) == VALIDATION_BATCH
        ]
        return {"validation_loss": float(np.mean(losses))} if losses else {}

    def _loss(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Return the symmetric contrastive loss of uint8 images [n, 32, 32, 3] and token ids."""
        pixels = prepared(images, self._size)
        with half_precision(self._device):
            seen, read, scale = self.model(pixels, tokens)[:3]
        logits = scale.float() * seen.float() @ read.float().T
        pairs = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2


@torch.no_grad()
def zero_shot_accuracy(
    folder: Path, prompts: Sequence[Sequence[str]], images: Tensor, labels: Tensor
) -> float:
    """Return how often the CLIP of a folder finds an image's class among the classes' prompts.

    Args:
        folder: A folder that `train_clip` wrote.
        prompts: The prompts of each class; their normalised embeddings are averaged.
        images: uint8 [n, 32, 32, 3].
        labels: int64 [n], indices into `prompts`.
    """
    clip = open_clip.create_model(f"local-dir:{folder}").eval()
    words = open_clip.get_tokenizer(f"local-dir:{folder}")
    means = [F.normalize(clip.encode_text(words(list(one))), dim=-1).mean(0) for one in prompts]
    pixels = prepared(images, clip.visual.image_size)
    batches = torch.split(pixels, VALIDATION_BATCH)
    features = torch.cat([clip.encode_image(batch) for batch in batches])
    chosen = (features @ F.normalize(torch.stack(means), dim=-1).T).argmax(1)
    return round((chosen == labels).float().mean().item(), 4)


def prepared(images: Tensor, size: int) -> Tensor:
    """Return uint8 images [n, height, width, 3] as an image tower of that size takes them.

    The same as open_clip's own transform for this configuration, up to its rounding to bytes.
    """
    pixels = images.permute(0, 3, 1, 2).float().div(255).sub(PIXEL_MEAN).div(PIXEL_STD)
    sized = F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False)
    return sized.contiguous(memory_format=torch.channels_last)


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images [n, height, width, 3] with half of them mirrored, all shifted alike.

    The generator is of the images' device.
    """
    (count, height, width), device = images.shape[:3], images.device
    mirrored = torch.rand(count, generator=generator, device=device) < 0.5
    images = torch.where(mirrored[:, None, None, None], images.flip(2), images)
    shifts = torch.randint(
        -SHIFT_PIXELS, SHIFT_PIXELS + 1, (2,), generator=generator, device=device
    )
    # By indices: `roll` would have the host wait for the shifts.
    rows = (torch.arange(height, device=device) - shifts[0]) % height
    columns = (torch.arange(width, device=device) - shifts[1]) % width
    return images.index_select(1, rows).index_select(2, columns)


def _decay_groups(model: torch.nn.Module) -> list[dict[str, Any]]:
    """Return the parameters in two groups: only matrices and kernels decay."""
    matrices = [weights for weights in model.parameters() if weights.ndim > 1]
    vectors = [weights for weights in model.parameters() if weights.ndim <= 1]
    return [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
