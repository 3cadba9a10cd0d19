"""What the part `train` trains: its networks, its sizes, and the bare step it compares with."""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import open_clip
import torch
from torch import Tensor
from torch.nn import functional

from adapt.models import Classifier
from adapt.optimise import make_optimiser
from bench.core.specs import TrainSpec
from bench.runtime.float32 import float32_products
from tests.gpu.measure import Machine

IMAGE_BYTES = 80e6
"""What a training of ViT-B/16 in bf16 takes an image, roughly, by reckoning: the backward pass
needs 17 activations of 2 bytes and, for the norms, 2 of 4 bytes, each of 768 numbers for each of
197 tokens in 12 layers. In float32 it is half as much again."""

MODELS_BYTES = 10e9
"""What else is in memory: several networks of 86 million parameters with their optimisers."""


SMALLEST_BATCH = 8
"""Tried where memory is shorter still."""


@dataclass(frozen=True)
class Size:
    """The sizes of a run of the part.

    Attributes:
        pixels: Of a side of an image, as the tower takes it.
        patch: Pixels of a side of a patch.
        width: Numbers of a token.
        layers: Of the tower.
        dim: Numbers of an embedding.
        classes: Of the head.
        batch: Images in a step.
        few: Images in a step that is compared with a CPU's.
        stored: Pixels of a side of a JPEG.
        steps: Steps of an epoch of the whole loop.
    """

    pixels: int = 224
    patch: int = 16
    width: int = 768
    layers: int = 12
    dim: int = 512
    classes: int = 196
    batch: int = 512
    few: int = 8
    stored: int = 256
    steps: int = 12

    def fitting(self, memory: float) -> "Size":
        """Return the size with the largest batch whose training in bf16 fits some bytes.

        An epoch of the whole loop keeps its images: fewer would be decoded once and kept.
        """
        batch = self.batch
        while batch > SMALLEST_BATCH and batch * IMAGE_BYTES + MODELS_BYTES > memory:
            batch //= 2
        return replace(self, batch=batch, steps=self.steps * self.batch // batch)

    @property
    def flops(self) -> float:
        """Of the forward and backward pass of an image: three times the forward pass's products.

        A layer's weights are 12 squares of the width; attention has two products of all tokens.
        """
        tokens = (self.pixels // self.patch) ** 2 + 1
        layer = 24 * tokens * self.width**2 + 4 * tokens**2 * self.width
        return 3 * (self.layers * layer + 2 * tokens * self.width * 3 * self.patch**2)


TINY = Size(pixels=32, patch=8, width=64, layers=2, classes=5, batch=8, few=8, stored=40, steps=4)
"""An embedding is as long as the real one, on which the size of the logits depends."""


def size_for(machine: Machine) -> Size:
    """Return the sizes for a machine: the paper's batch, if the card has memory for it."""
    if machine.tiny or machine.device.type != "cuda":
        return TINY if machine.tiny else Size()
    return Size().fitting(torch.cuda.get_device_properties(machine.device).total_memory)


class Networks:
    """Classifiers of one architecture and the same random weights.

    Args:
        size: The sizes.
        device: Where they are.
    """

    def __init__(self, size: Size, device: torch.device) -> None:
        torch.manual_seed(0)
        vision = {"image_size": size.pixels, "patch_size": size.patch, "width": size.width}
        # Its text tower is not needed, and as small as it can be.
        model = open_clip.CLIP(
            size.dim,
            {**vision, "layers": size.layers},
            {"context_length": 8, "vocab_size": 16, "width": 64, "heads": 1, "layers": 1},
        )
        self._visual = model.visual
        self._head = functional.normalize(torch.randn(size.classes, size.dim), dim=1) * 100
        self._device = device

    def make(self, *, device: torch.device | None = None, channels_last: bool = True) -> Classifier:
        """Return a new classifier in training mode, laid out as `load_clip` does by default."""
        where = device or self._device
        layout = torch.channels_last if channels_last else torch.contiguous_format
        visual = copy.deepcopy(self._visual).to(where, memory_format=layout)
        return Classifier(visual, self._head.to(where)).train()


def batches(size: Size, count: int, images: int, device: torch.device) -> list[tuple[Tensor, ...]]:
    """Return batches of normal noise and their classes; the same on any device."""
    generator = torch.Generator().manual_seed(1)
    shape = images, 3, size.pixels, size.pixels
    return [
        (
            torch.randn(shape, generator=generator).to(device),
            torch.randint(size.classes, (images,), generator=generator).to(device),
        )
        for _ in range(count)
    ]


Loss = Callable[[Classifier, Tensor, Tensor], Tensor]


def cross_entropy_loss(model: Classifier, pixels: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of a batch."""
    return functional.cross_entropy(model(pixels), labels)


class BareStep:
    """Forward, backward and step as anyone would write them, on a batch in memory.

    Args:
        model: The classifier, trained in place.
        spec: The training: its precision and its optimiser.
        loss: The loss of a classifier, images and labels.
        fused: Whether AdamW is.
    """

    def __init__(
        self,
        model: Classifier,
        spec: TrainSpec,
        loss: Loss = cross_entropy_loss,
        *,
        fused: bool = True,
    ) -> None:
        self._model, self._spec = model, spec
        self._loss = loss
        self._optimiser = make_optimiser(model, spec)
        for group in self._optimiser.param_groups:
            # With False in place of None, torch takes a loop over all weights, not its default.
            group["fused"] = fused or None

    def __call__(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """Take a step; return its loss."""
        half = self._spec.precision == "bf16"
        with float32_products(tf32=self._spec.precision == "tf32"):
            with torch.autocast(pixels.device.type, torch.bfloat16) if half else nullcontext():
                loss = self._loss(self._model, pixels, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._spec.clip_norm)
            self._optimiser.step()
            self._optimiser.zero_grad()
        return loss.detach()


def repeated(step: BareStep, batch: tuple[Tensor, ...], steps: int) -> Callable[[], None]:
    """Return a function that takes some steps."""

    def work() -> None:
        for _ in range(steps):
            step(*batch)

    return work
