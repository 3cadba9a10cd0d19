"""The optimiser, its learning rate and its weight decay.

AdamW; the rate rises linearly, then falls along half a cosine to zero.
"""

import torch
from torch import nn

from bench.core.schedules import cosine, warmup_cosine
from bench.core.specs import TrainSpec

_NEVER_DECAYED = "_never_decayed"


def make_optimiser(model: nn.Module, spec: TrainSpec) -> torch.optim.AdamW:
    """Return AdamW over all parameters that are trained, with the spec's weight decay."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    spared = [parameter for parameter in parameters if _is_spared(parameter, spec)]
    spared_ids = {id(parameter) for parameter in spared}
    decayed = [parameter for parameter in parameters if id(parameter) not in spared_ids]
    groups = [
        {"params": decayed, "weight_decay": spec.weight_decay, "decays": True},
        {"params": spared, "weight_decay": 0.0, "decays": False},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=spec.lr, betas=spec.betas, fused=True
    )


def never_decayed(parameter: nn.Parameter) -> nn.Parameter:
    """Return a parameter that no optimiser of this module decays, whatever the spec."""
    setattr(parameter, _NEVER_DECAYED, True)
    return parameter


def _is_spared(parameter: nn.Parameter, spec: TrainSpec) -> bool:
    # Biases, norms and other vectors have fewer than two dimensions.
    vector = not spec.decay_norm_and_bias and parameter.ndim < 2
    return vector or getattr(parameter, _NEVER_DECAYED, False)


def warmup_steps(spec: TrainSpec, steps: int) -> int:
    """Return the length of the warm-up of a training of so many steps."""
    if spec.warmup_fraction is not None:
        return round(spec.warmup_fraction * steps)
    return spec.warmup_steps


def learning_rate(spec: TrainSpec, step: int, steps: int) -> float:
    """Return the learning rate of a step, the first being 0 (Geng 2024, code, utils.py:24-43).

    At small n, as in the paper, the training may end within the warm-up.
    """
    return warmup_cosine(spec.lr, step, warmup_steps(spec, steps), steps)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set one learning rate for all parameter groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def weight_decay(spec: TrainSpec, step: int, steps: int) -> float:
    """Return the weight decay of a step, the first being 0 (SynCLR, section 4: 0.04 to 0.2).

    It goes from `weight_decay` to `weight_decay_end` along half a cosine, the warm-up included.
    """
    if spec.weight_decay_end is None:
        return spec.weight_decay
    return cosine(spec.weight_decay, spec.weight_decay_end, step, steps)


def set_weight_decay(optimiser: torch.optim.Optimizer, decay: float) -> None:
    """Set the weight decay of the parameters that decay; `make_optimiser` spares the others."""
    for group in optimiser.param_groups:
        if group["decays"]:
            group["weight_decay"] = decay
