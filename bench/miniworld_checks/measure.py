"""Measure everything that the gates ask about: minutes on two cores."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from bench.core.paths import Home
from bench.core.progress import Progress
from bench.core.specs import TrainSpec
from bench.miniworld.pool import split_arrays
from bench.miniworld.render import CLASSES
from bench.miniworld.training.fidelity import judge, require_parts
from bench.miniworld.training.recipe import Recipe
from bench.miniworld.training.resumable import CPU, CURVE_FILE, read_curve
from bench.miniworld.training.train import CARD_FILE
from bench.miniworld_checks import encoder
from bench.miniworld_checks.attributes import attributes_kept
from bench.miniworld_checks.encoder import (
    accuracies,
    clean_spec,
    control_weights,
    convergence,
    measure_batch_norm,
    unadapted_spec,
)
from bench.miniworld_checks.gates import Measurements
from bench.miniworld_checks.generator import measure_memorisation, measure_speed
from bench.miniworld_checks.pairs import prepared_pairs
from bench.miniworld_checks.pool import measure_retrieval
from bench.miniworld_checks.processes import map_in_processes

CLIP = "clip"


def measure(
    weights: Path | None, home: Home, progress: Progress, device: torch.device = CPU
) -> Measurements:
    """Measure a folder of weights.

    Args:
        weights: The folder; None for the weights that the preset's runs use.
        home: Where the unadapted model's runs, the retrieved images and the pairs of the pool are
            kept and reused.
        progress: Where to report.
        device: Where images are generated and judged. CLIP runs where every run does.

    Returns:
        `domains` with, for each, `fidelity`, `attributes`, `memorisation`, `clip`, `test` and
        `pool`;
        `world` with `convergence`, `curve`, `recipe`, `batch_norm`, `megabytes` and `speed`; and
        the `settings` of the fidelity.

    Raises:
        RequestError: A part of the weights is missing.
    """
    clip = str(weights.absolute() / CLIP) if weights else CLIP
    weights = weights or home.find_weights(CLIP).parent
    require_parts(weights)
    home.make_writable()
    progress.say("fine-tuning, size and speed")
    world = _world(weights, clip)
    progress.say("generated images, judged by the oracle")
    fidelity, generated = judge(weights, device)
    progress.say("CLIP, unadapted and after the control")
    work = prepared_pairs(home, weights / CLIP)
    train = unadapted_spec("aircraft", clip).train
    batches = {"control": train.batch_size, "control_large": Recipe().clip_batch}
    n = encoder.LARGEST_N
    controls = [(work, weights / CLIP, train, n, batch) for batch in batches.values()]
    control_folders = map_in_processes(_control, controls)
    clips = {"shipped": clip} | dict(zip(batches, control_folders, strict=True))
    progress.say("CLIP, nearest images and retrieval, domain by domain")
    inputs = [
        DomainInputs(name, fidelity["domains"][name], generated[name].numpy(), work, clips, n)
        for name in CLASSES
    ]
    domains = dict(zip(CLASSES, map_in_processes(_measure_domain, inputs), strict=True))
    for name, figures in domains.items():
        # In this process: fetching the images starts processes itself.
        figures["pool"] = measure_retrieval(name, home, progress, clip)
    return {"settings": fidelity["settings"], "world": world, "domains": domains}


class DomainInputs(NamedTuple):
    """One domain, and what was measured or made for it before."""

    domain: str
    fidelity: Measurements
    generated: NDArray[np.uint8]
    work: Path
    clips: dict[str, str]
    n: int
    """The largest number of images that the study trains on."""


def _measure_domain(inputs: DomainInputs) -> Measurements:
    """Return a domain's figures."""
    progress, domain = Progress(), inputs.domain
    matrices = (inputs.fidelity[kind]["confusion"] for kind in ("real", "generated"))
    unseen = torch.from_numpy(split_arrays(domain, "val")[0])
    pairs = torch.from_numpy(np.load(inputs.work / "pairs.npy"))
    # In a separate home, so that no report shows these runs.
    home, clip = Home(inputs.work), inputs.clips["shipped"]
    tested = {
        "unadapted": unadapted_spec(domain, clip),
        "clean": clean_spec(domain, clip, inputs.n),
        "control": unadapted_spec(domain, inputs.clips["control"]),
    }
    return {
        "fidelity": inputs.fidelity,
        "attributes": [kept._asdict() for kept in attributes_kept(domain, *matrices)],
        "memorisation": measure_memorisation(torch.from_numpy(inputs.generated), unseen, pairs),
        "clip": {
            **{
                name: accuracies(unadapted_spec(domain, folder), home, progress)
                for name, folder in inputs.clips.items()
            },
            "clean": accuracies(tested["clean"], home, progress),
        },
        "test": {name: accuracies(spec, home, progress, "test") for name, spec in tested.items()},
    }


def _control(arguments: tuple[Path, Path, TrainSpec, int, int]) -> str:
    return str(control_weights(*arguments))


def _world(weights: Path, clip: str) -> Measurements:
    """Return the figures that are not of one domain."""
    files = [path for path in weights.rglob("*") if path.is_file()]
    curve = read_curve(weights / CURVE_FILE) if (weights / CURVE_FILE).is_file() else []
    return {
        "convergence": convergence(curve),
        "curve": curve,
        "recipe": _recipe(weights),
        "batch_norm": measure_batch_norm(weights / CLIP, unadapted_spec("aircraft", clip)),
        "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 2),
        "speed": measure_speed(weights / "stable-diffusion"),
    }


def _recipe(weights: Path) -> dict[str, Any]:
    """Return the recipe in the weights' card; the current one if there is no card."""
    if not (weights / CARD_FILE).is_file():
        return asdict(Recipe())
    card = msgspec.json.decode((weights / CARD_FILE).read_bytes())
    return dict(card["recipe"])
