"""A CLIP with random weights, small enough to be made in every test."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import polars as pl
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from tokenizers.trainers import WordLevelTrainer

from bench.core.paths import Home
from bench.core.task import Split, Task
from bench.storage.image_codec import encode
from bench.storage.image_set import ImageSet
from bench.storage.tar_shards import ShardWriter

TEXTS = ["a photo of a red square .", "a picture of the green blue grey one"]
COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (40, 50, 210)}
SIZE = 32


SIGLIP = {
    "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none", "image_size": 160,
    "embed_dim": 64,
}  # fmt: skip
"""A timm tower that pools as SigLIP's do, and has no projection either."""


def write_tiny_clip(
    folder: Path,
    seed: int = 0,
    *,
    batch_norm: bool = False,
    patch_dropout: float = 0.0,
    timm: dict[str, Any] | None = None,
    logit_bias: float | None = None,
) -> Path:
    """Write a weights folder in open_clip's local-dir layout.

    Args:
        folder: Where to.
        seed: Fixes the weights.
        batch_norm: A convolutional tower with batch norm instead of a small ViT.
        patch_dropout: The share of patches that the small ViT leaves out in training.
        timm: What open_clip's `vision_cfg` says of a timm tower instead, with its `embed_dim`.
        logit_bias: A text tower of its own module and this bias of all logits, as SigLIP has them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = {"vocab_size": _write_tokenizer(folder), "context_length": 12, "width": 32, "heads": 2}
    text |= {"layers": 1}
    layers: dict[str, object] = {"layers": 2, "patch_size": 8, "patch_dropout": patch_dropout}
    if batch_norm:
        layers = {"layers": [1, 1, 1, 1]}
    vision = {"image_size": SIZE, "width": 32, "head_width": 16, **layers, **(timm or {})}
    towers: dict[str, Any] = {"embed_dim": vision.pop("embed_dim", 16), "vision_cfg": vision}
    kind: Any = open_clip.CLIP if logit_bias is None else open_clip.CustomTextCLIP
    if logit_bias is not None:
        towers |= {"init_logit_bias": logit_bias, "custom_text": True}
    content = {
        "model_cfg": {**towers, "text_cfg": {**text, "hf_tokenizer_name": "local"}},
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    torch.manual_seed(seed)
    towers.pop("custom_text", None)
    model = kind(**towers, text_cfg={**text, "hf_tokenizer_name": None})
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def _write_tokenizer(folder: Path) -> int:
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = WordLevelTrainer(special_tokens=["<pad>", "<bos>", "<unk>"], show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    # The text tower pools at the highest token id.
    tokenizer.add_special_tokens(["<eos>"])
    markers = [(name, tokenizer.token_to_id(name)) for name in ("<bos>", "<eos>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=markers
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {f"{name}_token": f"<{name}>" for name in ("pad", "bos", "eos", "unk")}
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return int(tokenizer.get_vocab_size())


class ColourTask(Task, frozen=True, kw_only=True):
    """Squares of three colours, noisy; the split's name seeds them."""

    def open_split(self, name: str, home: Home) -> Split:
        images = [square(label, seed) for label, seed in _labelled(name, self.split_sizes[name])]
        labels = np.arange(len(images)) % len(COLOURS)
        return Split(name, [f"{name}-{i}" for i in range(len(images))], labels, images.__getitem__)


def colour_task(**sizes: int) -> ColourTask:
    """Return the task with some split sizes; others are small."""
    return ColourTask(
        name="colours", version=1, class_names=tuple(COLOURS),
        templates=("a photo of a {} square .", "a picture of the {} one"),
        domain_texts=("a photo of a square",),
        split_sizes={"train": 24, "val": 12, "test": 15, **sizes},
    )  # fmt: skip


def square(label: int, seed: int) -> Image.Image:
    """Return a noisy square of one class."""
    noise = np.random.default_rng(seed).normal(0, 40, (SIZE, SIZE, 3))
    pixels = np.array(list(COLOURS.values())[label]) + noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_colours(data: Path, n: int, task: Task) -> ImageSet:
    """Write an image set of n noisy squares."""
    rows = []
    data.mkdir(parents=True, exist_ok=True)
    shared = {"shard": "00000.tar", "origin": "made", "url": "", "clip_score": 0.0}
    with ShardWriter(data / "00000.tar") as shard:
        for label, seed in _labelled("images", n):
            key, name = f"{seed:09d}", task.class_names[label]
            about = {"key": key, "label": label, "class_name": name, "seed": seed, "width": SIZE}
            about |= {"caption": f"a {name} square", "height": SIZE}
            packed = shard.add(key, encode(square(label, seed), ".png"), ".png")
            rows.append({**packed, **shared, **about})
    return ImageSet.write(data, pl.DataFrame(rows), task, "colours", {}, {})


def _labelled(name: str, n: int) -> list[tuple[int, int]]:
    """Return n labels and seeds."""
    start = sum(name.encode()) * 1000
    return [(index % len(COLOURS), start + index) for index in range(n)]


def texture(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC)
