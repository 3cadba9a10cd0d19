"""The miniature world's training: each network's own steps, and what all of them will take."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from bench.miniworld.render import CLASSES
from bench.miniworld.training.clip import (
    ADAPTED,
    CONDITIONER,
    ClipShape,
    ClipStep,
    new_clip,
    train_conditioner,
)
from bench.miniworld.training.decoder import DISCRIMINATOR_STEPS, DecoderStep
from bench.miniworld.training.diffusion import new_unet, pipeline_of
from bench.miniworld.training.fidelity import class_prompts, generate
from bench.miniworld.training.oracle import OracleStep
from bench.miniworld.training.recipe import Recipe
from bench.miniworld.training.resumable import CPU
from bench.miniworld.training.resumable import run as train
from bench.miniworld.training.train import prepare_data
from bench.miniworld.training.unet import UnetStep
from bench.miniworld.training.vae import VaeStep, train_vae
from tests.gpu.measure import Check, Figure, Machine, Note, Result

REPEATED = 50
"""The step that is done over and over: in all warm-ups, and before the discriminator takes part."""
FALL = 0.95
"""A loss is to fall to this share of what it was."""
APART = {"cpu": 0.0, "cuda": 0.1}
"""How far a continued training may end from an undisturbed one, in shares of the way it went. Sums
on a GPU differ from run to run in their last bits, and Adam makes that large where gradients are
small (0.1 is not measured on CUDA); without the optimiser's state it is 0.5 and more."""

DIFFERENCE = 1.0
"""Mean difference of an image's bytes from the CPU's: rounding makes less of it (not measured on
CUDA), another noise makes tens."""


class Network(NamedTuple):
    """One of the networks: how a step is made, and what its whole training is."""

    name: str
    make: Callable[[], ClipStep | VaeStep | OracleStep | UnetStep | DecoderStep]
    steps: int
    batch: int


def run(machine: Machine) -> Iterator[Result]:
    """Train each network for some steps, and measure its samples a second."""
    full = Recipe.for_cuda()
    recipe = _small(full) if machine.tiny else replace(full, pool_size=1_000, oracle_images=20)
    work, device = machine.folder, machine.device
    prepare_data(work, recipe)
    # UNet and decoder read what these leave behind.
    short = replace(recipe, conditioner_steps=2, vae_steps=5)
    train_conditioner(work, short, device)
    train_vae(work, short, device)
    totals = []
    for network in _networks(machine, recipe):
        step = network.make()
        losses = [step(REPEATED).item() for _ in range(6 if machine.tiny else 20)]
        name = f"{network.name}: one batch's loss after {len(losses)} steps, of the first"
        yield Check(name, losses[-1] / losses[0], FALL)
        count = 1 if machine.tiny else 20
        (rates,) = machine.rates(count * network.batch, _steps(step, count), turns=3)
        yield Figure(f"{network.name}, batches of {network.batch}", "samples/s", rates)
        if isinstance(step, OracleStep | DecoderStep):  # Those of the others were run above.
            step.validation_figures()
        totals.append([network.steps * network.batch / rate / 60 for rate in rates])
    minutes = [sum(turn) for turn in zip(*totals, strict=True)]
    yield Figure("all networks' steps (wanted: within 10)", "minutes", minutes)
    yield Note("rendering, evaluations and the judging of the weights come on top of the steps")
    yield Check("UNet, continued from its checkpoint", _apart(machine, recipe), APART[device.type])
    yield Check("generated images against the CPU's, of 255", _difference(machine), DIFFERENCE)


def _small(recipe: Recipe) -> Recipe:
    """Return the recipe with the smallest batches and pool: the autoencoder holds out 500."""
    batches = dict.fromkeys(("vae_batch", "decoder_batch", "unet_batch", "oracle_batch"), 4)
    return replace(recipe, pool_size=600, oracle_images=2, clip_batch=32, **batches)


def _networks(machine: Machine, recipe: Recipe) -> list[Network]:
    work, device = machine.folder, machine.device

    def clip(shape: ClipShape, steps: int) -> Network:
        def make() -> ClipStep:
            return ClipStep(new_clip(shape), steps, work, recipe, device)

        return Network(shape.name, make, steps, recipe.clip_batch)

    vae = partial(VaeStep, work, recipe, device)
    oracle = partial(OracleStep, work, recipe, device)
    unet = partial(UnetStep, 0, work, recipe, device)
    decoder = partial(DecoderStep, work, recipe, device)
    return [
        clip(CONDITIONER, recipe.conditioner_steps),
        clip(ADAPTED, recipe.clip_steps),
        Network("autoencoder", vae, recipe.vae_steps, recipe.vae_batch),
        Network("oracle", oracle, recipe.oracle_steps, recipe.oracle_batch),
        Network("UNet", unet, recipe.unet_steps, recipe.unet_batch),
        Network("decoder", decoder, recipe.decoder_steps, recipe.decoder_batch),
    ]


def _steps(step: Callable[[int], Tensor], count: int) -> Callable[[], None]:
    """Return what does the next so many steps."""
    numbers = itertools.count(DISCRIMINATOR_STEPS)

    def do() -> None:
        for number in itertools.islice(numbers, count):
            step(number)

    return do


def _apart(machine: Machine, recipe: Recipe) -> float:
    """Return how far a continued training of the UNet ends from one of as many steps at once.

    A share of the way from the initial weights to the latter's.
    """

    def trained(name: str, stop: int) -> tuple[Tensor, Tensor]:
        folder = machine.folder / name
        folder.mkdir(exist_ok=True)
        step = UnetStep(0, machine.folder, recipe, machine.device)
        start = _weights(step.unet)
        train(replace(step.training(), steps=stop, evaluate=dict), folder)
        return start, _weights(step.unet)

    start, straight = trained("straight", 4)
    trained("continued", 2)
    _, continued = trained("continued", 4)
    return float((continued - straight).norm() / (straight - start).norm())


def _difference(machine: Machine) -> float:
    """Return how far images that the device generates are from the CPU's, by an untrained UNet."""
    torch.manual_seed(0)
    unet = new_unet()
    prompts = class_prompts("cars", CLASSES["cars"][0])
    images = []
    for device in (CPU, machine.device):
        pipeline = pipeline_of(machine.folder, unet, machine.folder / "vae").to(device)
        images.append(generate(pipeline, prompts[:2], seed=0).float())
    return float((images[0] - images[1]).abs().mean())


def _weights(network: torch.nn.Module) -> Tensor:
    return torch.cat([weights.detach().flatten().clone() for weights in network.parameters()])
