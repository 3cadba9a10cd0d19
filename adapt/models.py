"""CLIP from a weights folder, and the classifier made from its image tower."""

import copy
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import open_clip
import torch
from PIL.Image import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from adapt import image_encoder
from adapt.layers.batch_norm import synchronised
from adapt.losses.gather import process_count
from adapt.patches import Patched, Patches, pooled
from bench.core.arrays import FloatArray
from bench.core.errors import BenchError, RequestError
from bench.core.task import Task
from bench.core.weights_folder import (
    CLIP_CONFIG,
    CLIP_WEIGHTS,
    ENCODER_CONFIG,
    ENCODER_WEIGHTS,
    checked_config,
    is_architecture,
    is_image_only,
)
from bench.runtime.ahead import ahead, grouped
from bench.runtime.float32 import float32_products
from bench.runtime.inference import forward_all, stacked


@dataclass(frozen=True)
class Clip:
    """A model of open_clip, or an image encoder, with everything that belongs to it.

    Attributes:
        model: The model, in evaluation mode.
        preprocess_train: PIL image to float32 ``[3, h, w]``, randomly cropped.
        preprocess_val: PIL image to float32 ``[3, h, w]``.
        tokenizer: Texts to token ids, int64 ``[n, context]``; None for an image encoder alone.
        weights_hash: SHA-256 of the weights file; "none" of an architecture without weights.
        model_hash: SHA-256 of the configuration and the weights, which embeddings depend on.
        dim: Length of an embedding.
        device: Where the model is.
        trained: Whether the weights are the folder's; else they are new (`adapt.scratch`).
    """

    model: Any
    preprocess_train: Callable[[Image], Tensor]
    preprocess_val: Callable[[Image], Tensor]
    tokenizer: Callable[[Sequence[str]], Tensor] | None
    weights_hash: str
    model_hash: str
    dim: int
    device: torch.device
    trained: bool = True

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Return texts as token ids, int64 ``[n, context]``.

        Raises:
            RequestError: If the model has no text tower.
        """
        if self.tokenizer is None:
            raise RequestError(
                "the model is an image encoder without a text tower", "take a CLIP for texts"
            )
        return self.tokenizer(texts)


def load_model(folder: Path, device: torch.device | str = "cpu") -> Clip:
    """Load a CLIP or an image encoder, without a network.

    An architecture without weights has arbitrary ones: `adapt.scratch.untrained` gives it new ones.

    Raises:
        RequestError: If the folder lacks the configuration or its weights, or they do not fit.
        BenchError: If they are there but cannot be loaded.
    """
    return (_load_image_encoder if is_image_only(folder) else load_clip)(folder, device)


def load_clip(folder: Path, device: torch.device | str = "cpu") -> Clip:
    """Load a model from a folder in open_clip's ``local-dir`` layout; raises as `load_model`."""
    config, has_weights = checked_config(folder), not is_architecture(folder)
    try:
        model, preprocess_train, preprocess_val = build_clip(folder, device, has_weights)
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise BenchError(
            f"the model in {folder} does not load: {error}", "fetch it again"
        ) from error
    weights_hash = _sha256(folder / CLIP_WEIGHTS) if has_weights else "none"
    return Clip(
        model=model.eval().requires_grad_(False),
        preprocess_train=preprocess_train,
        preprocess_val=preprocess_val,
        tokenizer=tokenizer,
        weights_hash=weights_hash,
        model_hash=_model_hash(folder / CLIP_CONFIG, weights_hash),
        # Not `model.visual.output_dim`, which timm towers do not have.
        dim=int(config["embed_dim"]),
        device=torch.device(device),
        trained=has_weights,
    )


def build_clip(
    folder: Path, device: torch.device | str, load_weights: bool
) -> tuple[Any, Callable[[Image], Tensor], Callable[[Image], Tensor]]:
    """Return the CLIP of a folder, and how images are preprocessed for training and evaluation.

    Args:
        folder: In open_clip's ``local-dir`` layout.
        device: Where the model shall be.
        load_weights: Whether to load the folder's weights; else open_clip initialises new ones.
    """
    with _left_out(*(() if load_weights else ("Model initialized randomly", "no CLIP weights"))):
        model, *preprocessing = open_clip.create_model_and_transforms(
            f"local-dir:{folder}", device=device, load_weights=load_weights, pretrained_text=False
        )
    if "timm_model_name" not in checked_config(folder)["vision_cfg"]:
        # A small ResNet's training step is 1.3 times as fast on a CPU. Not of timm's towers, as
        # `Classifier.embeddings` says.
        model = model.to(memory_format=torch.channels_last)
    train, val = preprocessing
    return model, train, val


@contextmanager
def _left_out(*messages: str) -> Iterator[None]:
    """Leave warnings out of the log."""

    def unexpected(record: logging.LogRecord) -> bool:
        return not any(message in record.getMessage() for message in messages)

    root = logging.getLogger()
    root.addFilter(unexpected)
    try:
        yield
    finally:
        root.removeFilter(unexpected)


def _load_image_encoder(folder: Path, device: torch.device | str) -> Clip:
    checked_config(folder)
    model, dim = image_encoder.load_image_encoder(folder)
    preprocess_train, preprocess_val = image_encoder.preprocessing(model)
    weights_hash = _sha256(folder / ENCODER_WEIGHTS)
    return Clip(
        model=model.to(device).eval().requires_grad_(False),
        preprocess_train=preprocess_train,
        preprocess_val=preprocess_val,
        tokenizer=None,
        weights_hash=weights_hash,
        model_hash=_model_hash(folder / ENCODER_CONFIG, weights_hash),
        dim=dim,
        device=torch.device(device),
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _model_hash(config: Path, weights_hash: str) -> str:
    return hashlib.sha256(config.read_bytes() + weights_hash.encode()).hexdigest()


def text_head(clip: Clip, task: Task) -> Tensor:
    """Return the zero-shot head of a task's prompts, which the paper's heads start from.

    Per class: embed every prompt, normalise, average, normalise, and multiply by the model's
    logit scale (Geng 2024, code, zeroshot.py:44-70).

    Returns:
        float32 ``[classes, dim]``, on the model's device.
    """
    return _text_head(clip, tuple(tuple(task.prompts(name)) for name in task.class_names))


@lru_cache(maxsize=4)  # The runs of a study start from one head.
def _text_head(clip: Clip, prompts: tuple[tuple[str, ...], ...]) -> Tensor:
    encode = clip.model.encode_text
    rows = [mean_embedding(encode, clip.tokens(one).to(clip.device)) for one in prompts]
    scale: Tensor = clip.model.logit_scale.detach().float().exp()
    return torch.stack(rows) * scale


def random_head(clip: Clip, task: Task, seed: int) -> Tensor:
    """Return a head of random directions, with rows as long as the text head's.

    Returns:
        float32 ``[classes, dim]``, on the model's device.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(len(task.class_names), clip.dim, generator=generator)
    scale: Tensor = clip.model.logit_scale.detach().float().exp()
    return functional.normalize(directions, dim=-1).to(clip.device) * scale


class Classifier(nn.Module):
    """CLIP's image tower and a linear head on its L2-normalised features.

    Args:
        visual: The tower; maps images to embeddings, float ``[b, dim]``.
        weight: The head's initial weight, float32 ``[classes, dim]``.
        bias: Its initial bias, the same for all classes.
        trained: Whether the tower's weights were trained before. Its batch statistics then stay as
            they are: at small n, training them makes accuracy worse than the unadapted model's.
            Else they are those of all processes.
    """

    def __init__(
        self, visual: nn.Module, weight: Tensor, bias: float = 0.0, *, trained: bool = True
    ) -> None:
        super().__init__()
        self._freezes_statistics = trained
        classes, dim = weight.shape
        alone = trained or process_count() == 1
        self.visual = (visual if alone else synchronised(visual)).requires_grad_(True)
        self.head = nn.Linear(dim, classes, device=weight.device)
        with torch.no_grad():
            self.head.weight.copy_(weight)
            self.head.bias.fill_(bias)

    @classmethod
    def from_clip(
        cls, clip: Clip, task: Task, init: Literal["text", "random"] = "text", seed: int = 0
    ) -> "Classifier":
        """Return the unadapted classifier; the model itself stays unchanged."""
        visual = copy.deepcopy(clip.model.visual)
        if init == "random":
            return cls(visual, random_head(clip, task, seed), trained=clip.trained).eval()
        # SigLIP's, which its sigmoid needs; other models have none.
        bias = getattr(clip.model, "logit_bias", None)
        start = 0.0 if bias is None else float(bias)
        return cls(visual, text_head(clip, task), start, trained=clip.trained).eval()

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.head.weight.device

    def embeddings(self, images: Tensor) -> Tensor:
        """Return the tower's output ``[b, dim]`` for normalised images ``[b, 3, h, w]``.

        A tower with patches takes images of any whole number of them (`adapt.patches`).
        """
        return pooled(self.visual, self._laid_out(images))

    def patch_tokens(self, images: Tensor) -> Tensor:
        """Return the tokens of the patches of normalised images ``[b, 3, h, w]``.

        Returns:
            float ``[b, rows, columns, width]``; see `adapt.patches.Patched`.

        Raises:
            RequestError: If the tower has no patches, or the images are not of whole patches.
        """
        return self.with_tokens(images).tokens

    def with_tokens(
        self, images: Tensor, masks: Tensor | None = None, mask_token: Tensor | None = None
    ) -> Patched:
        """Return `embeddings` and `patch_tokens` of one pass; see `adapt.patches.Patches`."""
        return Patches(self.visual).with_tokens(self._laid_out(images), masks, mask_token)

    def _laid_out(self, images: Tensor) -> Tensor:
        if images.device.type == "cpu" and hasattr(self.visual, "trunk"):
            # Backwards through FastViT's 1 x 1 convolution of three channels and stride 2 (the
            # tower of MobileCLIP), torch 2.11 and 2.14 destroy memory with channels last.
            return images.contiguous()
        return images

    def features(self, images: Tensor) -> Tensor:
        """Return L2-normalised features ``[b, dim]`` of normalised images ``[b, 3, h, w]``.

        They are in the weights' precision, whatever the tower computed in.
        """
        embeddings = self.embeddings(images)
        with _full_precision(images.device):
            return functional.normalize(embeddings.to(self.head.weight.dtype), dim=-1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[b, classes]`` of normalised images ``[b, 3, h, w]``.

        They are in the weights' precision: with CLIP's scale of 100, a bfloat16 logit may be off
        by 0.25.
        """
        features = self.features(images)
        with _full_precision(images.device):
            logits: Tensor = self.head(features)
        return logits

    def train(self, mode: bool = True) -> "Classifier":
        """Switch between training and evaluation; a trained tower's statistics stay in both."""
        super().train(mode)
        for module in self.modules() if self._freezes_statistics else ():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def state(self) -> dict[str, Tensor]:
        """Return a copy of every parameter and buffer, on the CPU."""
        return state_of(self)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of every parameter and buffer of a module, on the CPU."""
    return {
        name: value.detach().to("cpu", copy=True).contiguous()
        for name, value in module.state_dict().items()
    }


class ClipEmbedder:
    """Embeds images and texts with an unadapted CLIP; a `bench.plugins.source.Embedder`.

    Args:
        clip: The model.
        batch_size: Images or texts in one forward pass.
    """

    def __init__(self, clip: Clip, batch_size: int = 256) -> None:
        self.weights_hash = clip.weights_hash
        self.dim = clip.dim
        self._clip = clip
        self._batch_size = batch_size

    def images(self, images: Iterable[Image]) -> FloatArray:
        """Return embeddings of images, float32 ``[n, dim]``, rows L2-normalised.

        Threads preprocess the next batch while one is computed.
        """
        ready = ahead(self._clip.preprocess_val, images, self._batch_size)
        batches = map(self._stacked, grouped(ready, self._batch_size))
        return self._embed(batches, self._clip.model.encode_image)

    def texts(self, texts: Sequence[str]) -> FloatArray:
        """Return embeddings of texts, float32 ``[n, dim]``, rows L2-normalised."""
        batches = map(self._clip.tokens, grouped(texts, self._batch_size))
        return self._embed(batches, self._clip.model.encode_text)

    def _stacked(self, images: list[Tensor]) -> Tensor:
        return stacked(images, self._clip.device)

    def _embed(self, batches: Iterator[Tensor], encode: Callable[..., Tensor]) -> FloatArray:
        first = next(batches, None)
        if first is None:
            return np.empty((0, self.dim), np.float32)
        forward = partial(encode, normalize=True)
        rows: FloatArray = forward_all(forward, chain([first], batches), self._clip.device).numpy()
        return rows


def _full_precision(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, enabled=False)


def mean_embedding(encode_text: Callable[..., Tensor], tokens: Tensor) -> Tensor:
    """Return the direction of the mean of some texts' embeddings, float ``[dim]``.

    Args:
        encode_text: That of a model of open_clip.
        tokens: The texts, int64 ``[n, context]``, on the model's device.
    """
    with torch.no_grad(), float32_products():
        embeddings = encode_text(tokens, normalize=True)
    wide = embeddings.to(torch.promote_types(embeddings.dtype, torch.float32))
    return functional.normalize(wide.mean(dim=0), dim=0)
