"""A CLIP's text tower, trained beside its image tower."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from adapt.models import Classifier, Clip, mean_embedding
from bench.core.task import Task

MAX_SCALE = 100.0
"""The largest scale of cosines; more was unstable in training (Radford 2021, section 2.5)."""


class TextTower(nn.Module):
    """A copy of the text part of a model of open_clip, and what a task's prompts become in it.

    Its embeddings and the scale of cosines are trained, the scale up to `MAX_SCALE`. An untrained
    model's is 1 / 0.07 (Radford 2021, section 2.5). Parameters that neither depends on, such as
    SigLIP's bias of logits, are not trained.

    Args:
        model: The model, which stays as it is.
        prompts: Token ids of each class's prompts, int64 ``[prompts, context]``.
    """

    def __init__(self, model: nn.Module, prompts: Sequence[Tensor]) -> None:
        super().__init__()
        self.model: Any = copy.deepcopy(model).requires_grad_(True)
        del self.model.visual
        self._prompts = prompts
        self._train_what_counts()
        self.limit_scale()

    @classmethod
    def from_clip(cls, clip: Clip, task: Task) -> "TextTower":
        """Return the tower of a model that has one, with a task's prompts.

        Raises:
            RequestError: If the model has no text tower.
        """
        return cls(clip.model, [clip.tokens(task.prompts(name)) for name in task.class_names])

    @property
    def scale(self) -> Tensor:
        """What cosines are multiplied by, a 0-dimensional tensor."""
        scale: Tensor = self.model.logit_scale.exp().reshape(())
        return scale

    def forward(self, tokens: Tensor) -> Tensor:
        """Return L2-normalised embeddings ``[b, dim]`` of token ids, int64 ``[b, context]``.

        They are in the weights' precision, whatever the tower computed in.
        """
        embeddings: Tensor = self.model.encode_text(tokens)
        with torch.autocast(tokens.device.type, enabled=False):
            return functional.normalize(embeddings.to(self.model.logit_scale.dtype), dim=-1)

    @torch.no_grad()
    def limit_scale(self) -> None:
        """Keep the scale at `MAX_SCALE` or below, as CLIP's authors did after every step."""
        self.model.logit_scale.clamp_(max=math.log(MAX_SCALE))

    @torch.no_grad()
    def head(self) -> Tensor:
        """Return the prompts' zero-shot head: that of `adapt.models.text_head`, but for rounding.

        Returns:
            ``[classes, dim]``, on the tower's device.
        """
        mode, device = self.training, self.model.logit_scale.device
        self.eval()
        encode = self.model.encode_text
        rows = [mean_embedding(encode, prompts.to(device)) for prompts in self._prompts]
        self.train(mode)
        return torch.stack(rows) * self.scale

    def give_head(self, classifier: Classifier) -> Classifier:
        """Give a classifier the prompts' head, in place; return it."""
        with torch.no_grad():
            classifier.head.weight.copy_(self.head())
        return classifier

    def _train_what_counts(self) -> None:
        """Spare what embeddings do not depend on: processes wait for every gradient."""
        parameters = list(self.model.parameters())
        tokens = self._prompts[0][:1].to(self.model.logit_scale.device)
        with torch.enable_grad():
            counted = self(tokens).sum() + self.scale
        slopes = torch.autograd.grad(counted, parameters, allow_unused=True)
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.requires_grad_(slope is not None)
