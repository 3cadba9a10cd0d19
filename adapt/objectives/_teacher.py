"""A teacher: the average of a student's weights over its steps, which no gradient reaches."""

import copy
from collections.abc import Mapping

import torch
from torch import nn

from adapt.models import Classifier
from bench.core.schedules import cosine


class Teacher(nn.Module):
    """Copies of some modules, which follow them.

    Whatever is random in training, such as dropout, is not there for a teacher. Batch norms have
    the statistics of its own batches.

    Args:
        student: The modules, by name; those of the teacher have the same names.
        steps: Optimiser steps of the whole training.
        momentum: The share of itself that it keeps at the first step; it rises to 1 along half a
            cosine over the training.
    """

    model: Classifier
    projection: nn.Module
    token_head: nn.Module

    def __init__(self, student: Mapping[str, nn.Module], steps: int, momentum: float) -> None:
        super().__init__()
        self._steps, self._momentum = steps, momentum
        for name, module in student.items():
            self.add_module(name, copy.deepcopy(module).requires_grad_(False))

    @torch.no_grad()
    def follow(self, student: Mapping[str, nn.Module], step: int) -> None:
        """Move the weights towards those of the student, after one of its steps.

        Args:
            student: The modules that this was made of.
            step: The step, from 0.
        """
        share = 1 - cosine(self._momentum, 1.0, step, self._steps)
        for name, module in student.items():
            pairs = zip(self.get_submodule(name).parameters(), module.parameters(), strict=True)
            for average, latest in pairs:
                average.lerp_(latest, share)

    def train(self, mode: bool = True) -> "Teacher":
        """Switch batch norms alone between training and evaluation, as the student's are."""
        super().train(mode)
        for module in self.modules():
            if not isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.training = False
        return self
