"""Measures everything that the gates ask about: minutes on two cores."""

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
from bench.miniworld.training.resumable import CURVE_FILE, read_curve
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


def measure(weights: Path | None, home: Home, progress: Progress) -> Measurements:
    """Measure a folder of weights.

    Args:
        weights: The folder; None for the weights that the preset's runs use.
        home: Where the unadapted model's runs, the retrieved images and the pairs of the pool are
            kept; what is there already is used.
        progress: Where to report.

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
    fidelity, generated = judge(weights)
    progress.say("CLIP, unadapted and after the control")
    work = prepared_pairs(home, weights / CLIP)
    train = unadapted_spec("aircraft", clip).train
    batches = {"control": train.batch_size, "control_large": Recipe().clip_batch}
    n = encoder.LARGEST_N
    wanted = [(work, weights / CLIP, train, n, batch) for batch in batches.values()]
    made = map_in_processes(_control, wanted)
    clips = {"shipped": clip} | dict(zip(batches, made, strict=True))
    progress.say("CLIP, nearest images and retrieval, domain by domain")
    parts = [
        Part(name, fidelity["domains"][name], generated[name].numpy(), work, clips, n)
        for name in CLASSES
    ]
    domains = dict(zip(CLASSES, map_in_processes(_measured_part, parts), strict=True))
    for name, figures in domains.items():
        # Here, for images that are not here yet are fetched by processes of their own.
        figures["pool"] = measure_retrieval(name, home, progress, clip)
    return {"settings": fidelity["settings"], "world": world, "domains": domains}


class Part(NamedTuple):
    """One domain, and what is known of it before its own measurement."""

    domain: str
    fidelity: Measurements
    generated: NDArray[np.uint8]
    work: Path
    clips: dict[str, str]
    n: int
    """The largest number of images that the study trains on."""


def _measured_part(part: Part) -> Measurements:
    """Return a domain's figures."""
    progress, domain = Progress(), part.domain
    matrices = (part.fidelity[kind]["confusion"] for kind in ("real", "generated"))
    unseen = torch.from_numpy(split_arrays(domain, "val")[0])
    pairs = torch.from_numpy(np.load(part.work / "pairs.npy"))
    # In a home of its own: no report shall show these runs.
    home, clip = Home(part.work), part.clips["shipped"]
    tested = {
        "unadapted": unadapted_spec(domain, clip),
        "clean": clean_spec(domain, clip, part.n),
        "control": unadapted_spec(domain, part.clips["control"]),
    }
    return {
        "fidelity": part.fidelity,
        "attributes": [kept._asdict() for kept in attributes_kept(domain, *matrices)],
        "memorisation": measure_memorisation(torch.from_numpy(part.generated), unseen, pairs),
        "clip": {
            **{
                name: accuracies(unadapted_spec(domain, folder), home, progress)
                for name, folder in part.clips.items()
            },
            "clean": accuracies(tested["clean"], home, progress),
        },
        "test": {name: accuracies(spec, home, progress, "test") for name, spec in tested.items()},
    }


def _control(given: tuple[Path, Path, TrainSpec, int, int]) -> str:
    return str(control_weights(*given))


def _world(weights: Path, clip: str) -> Measurements:
    """Return the figures that no domain has of its own."""
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
    """Return the recipe that the weights were made by; today's where they do not say."""
    if not (weights / CARD_FILE).is_file():
        return asdict(Recipe())
    card = msgspec.json.decode((weights / CARD_FILE).read_bytes())
    return dict(card["recipe"])
