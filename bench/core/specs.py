"""Specs: what a user declares. Immutable, and they survive a JSON round trip."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal

import msgspec

from bench.core.config import (
    AboveZero,
    Config,
    Fraction,
    Momentum,
    Natural,
    NotNegative,
    Positive,
    Rate,
)
from bench.core.json_values import Json, digest

Crop = Literal["square", "paper"]
"""How an image that is not square is cropped for training."""


class TrainSpec(Config, frozen=True, kw_only=True):
    """How the image tower is adapted.

    Batch size, learning rate, betas, weight decay and warm-up are the paper's (Geng 2024, appendix
    B.2).
    """

    epochs: Natural = 30
    """Passes over the n images (Geng 2024, section 4)."""
    steps: Positive | None = None
    """Optimiser steps in place of passes over the images, so that all n get the same number.
    `epochs` is then the number of parts they are cut into; each part is judged as an epoch."""
    batch_size: Positive = 512
    """Images in one optimiser step; kept when memory is short, by accumulation."""
    sampling: Literal["uniform", "balanced"] = "uniform"
    """Whether an epoch takes each image once, or as many images from each class."""
    adjacent: Literal["pair"] | None = None
    """``pair`` has the prompts of one template stand together in a pass, so that a batch compares
    those that differ in one word (SuperStableRep's idea; its code has no such batches)."""
    lr: AboveZero = 1e-5
    """Learning rate after the warm-up; it falls along half a cosine."""
    betas: tuple[Momentum, Momentum] = (0.9, 0.95)
    """AdamW's averages of the gradient and of its square."""
    weight_decay: NotNegative = 0.1
    """AdamW's, or the first where `weight_decay_end` is given."""
    weight_decay_end: NotNegative | None = None
    """Weight decay at the end, reached along half a cosine (SynCLR: 0.04 to 0.2); None for the
    same throughout."""
    decay_norm_and_bias: bool = True
    """Geng 2024, code, finetune.py:108-110, decays every parameter; the paper does not say."""
    warmup_steps: Natural = 500
    """Optimiser steps in which the learning rate rises to `lr`."""
    warmup_fraction: Fraction | None = None
    """Warm-up as a fraction of all steps; replaces `warmup_steps`, which never ends at small n."""
    clip_norm: AboveZero = 1.0
    """Norm of the clipped gradients (Geng 2024, code, finetune.py:177-183; not in the paper)."""
    crop: Crop = "square"
    """What the model's training transform is given: ``square``, a square of the shortest side at a
    random place; ``paper``, the image as it is, which beyond an aspect of 4:3 has one crop."""
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"
    """``tf32`` rounds the factors of float32 products to 10 bits; ``fp32`` rules that out, in
    convolutions too, where torch's default with CUDA is otherwise."""
    init: Literal["pretrained", "scratch"] = "pretrained"
    """Whether training starts from the model's weights, or from new ones of its architecture that
    the run's seed decides."""
    head_init: Literal["text", "random"] = "text"
    """Whether the head starts as the prompts' embeddings, or at random, as it does from scratch."""
    drop_path: Rate = 0.0
    """The share of images that skip a residual branch of the last block; it rises from 0 in the
    first (SynCLR: 0.1 for ViT-B, 0.4 for ViT-L). 0 leaves what the model's configuration says."""
    freeze_tower: bool = False
    """Whether the head alone is trained."""
    select_by: str = "linear-probe"
    """The evaluator whose validation score picks the epoch, epoch 0 (no change) included."""

    # How it is executed; the result is the same up to rounding.
    micro_batch: Positive | None = None
    """Images in one forward pass of a process; None for its whole share of the batch."""
    workers: Natural = 0
    """Processes that decode images; 0 decodes in the training process."""
    nodes: Positive = 1
    """Machines that train together."""
    gpus_per_node: Positive = 1
    """Training processes on each machine: one per GPU, if it has any."""
    compile: bool = False
    """Whether torch.compile is used: a minute or two to begin with, then faster (not measured on
    CUDA)."""

    @classmethod
    def complete(cls, values: Json) -> Json:
        """Return the values with a random head from scratch: a text head is the fetched model's."""
        return ({"head_init": "random"} if values.get("init") == "scratch" else {}) | values

    @property
    def processes(self) -> int:
        """Processes that train together; 1 leaves their number to whoever starts them."""
        return self.nodes * self.gpus_per_node


EXECUTION_FIELDS = ("micro_batch", "workers", "nodes", "gpus_per_node", "compile")
"""Fields of a `TrainSpec` that do not change the run id."""

_LATER_FIELDS = ("init", "weight_decay_end", "adjacent", "drop_path")
"""Fields of a `TrainSpec` that earlier specs have not: at their defaults, they are the same run."""


class RunSpec(Config, frozen=True, kw_only=True):
    """One run: everything that determines its result."""

    preset: str
    task: str
    """Its name, or the absolute path of its folder."""
    source: str
    options: Json
    """The source's options, defaults filled in."""
    n: int | None
    """Images to train on; None for all the source has."""
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    order: Literal["random", "balanced"] = "random"
    """How the first n images are selected: uniformly, or class by class in turn."""
    model: str
    """Name or path of the open_clip weights folder that is adapted."""
    objective: str = "ce"
    objective_options: Json = {}
    """The objective's options, defaults filled in."""
    train: TrainSpec = TrainSpec()
    evaluators: dict[str, Json] = {}
    """Evaluator name to its options."""
    fingerprints: dict[str, str] = {}
    """Fingerprints of everything outside that the result depends on: weights, pool, task."""

    @property
    def run_id(self) -> str:
        """Short hash of all that determines the result; equal ones are one run."""
        content = msgspec.to_builtins(self)
        if PurePath(self.task.removeprefix("wds:")).is_absolute() and "task" in self.fingerprints:
            # Its content is fingerprinted, with its name; a moved folder is the same task.
            content["task"] = ""
        if PurePath(self.preset).is_absolute():
            content["preset"] = PurePath(self.preset).name  # Its content is in the spec.
        usual = TrainSpec()
        unchanged = [n for n in _LATER_FIELDS if getattr(self.train, n) == getattr(usual, n)]
        for name in (*EXECUTION_FIELDS, *unchanged):
            del content["train"][name]
        if not self.objective_options:
            del content["objective_options"]
        return digest(content)
