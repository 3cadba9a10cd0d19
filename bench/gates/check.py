"""Measures everything that the gates ask about: minutes on two cores."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from bench.gates.attributes import attributes_kept
from bench.gates.encoder import (
    accuracies,
    batch_norm_figures,
    clean_spec,
    control_weights,
    convergence,
    unadapted_spec,
)
from bench.gates.gates import Figures
from bench.gates.generator import memorisation_figures, speed
from bench.gates.pairs import prepared_pairs
from bench.gates.pool import retrieval_figures
from bench.miniworld.fidelity import judge, require_parts
from bench.miniworld.pool import split_arrays
from bench.miniworld.recipe import Recipe
from bench.miniworld.render import CLASSES
from bench.miniworld.resumable_training import CURVE_FILE, read_curve
from bench.miniworld.train import CARD_FILE
from bench.paths import Home
from bench.progress import Progress

CLIP = "clip"


def measured(weights: Path | None, home: Home, progress: Progress) -> Figures:
    """Measure a folder of weights.

    Args:
        weights: The folder; None for the weights that the preset's runs use.
        home: Where the unadapted model's runs, the retrieved images and the pairs of the pool are
            kept; what is there already is used.
        progress: Where to report.

    Returns:
        `domains` with, for each, `fidelity`, `attributes`, `memorisation`, `clip` and `pool`;
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
    clips = {"shipped": clip} | {
        name: str(control_weights(work, weights / CLIP, train, batch))
        for name, batch in batches.items()
    }
    pairs = torch.from_numpy(np.load(work / "pairs.npy"))
    domains = {}
    for domain in CLASSES:
        progress.say(f"{domain}: CLIP, nearest images, retrieval")
        known = fidelity["domains"][domain]
        matrices = (known[kind]["confusion"] for kind in ("real", "generated"))
        unseen = torch.from_numpy(split_arrays(domain, "val")[0])
        domains[domain] = {
            "fidelity": known,
            "attributes": [kept._asdict() for kept in attributes_kept(domain, *matrices)],
            "memorisation": memorisation_figures(generated[domain], unseen, pairs),
            # In a home of its own: no report shall show these runs.
            "clip": {
                **{
                    name: accuracies(unadapted_spec(domain, folder), Home(work), progress)
                    for name, folder in clips.items()
                },
                "clean": accuracies(clean_spec(domain, clip), Home(work), progress),
            },
            "pool": retrieval_figures(domain, home, progress, clip),
        }
    return {"settings": fidelity["settings"], "world": world, "domains": domains}


def _world(weights: Path, clip: str) -> Figures:
    """Return the figures that no domain has of its own."""
    files = [path for path in weights.rglob("*") if path.is_file()]
    curve = read_curve(weights / CURVE_FILE) if (weights / CURVE_FILE).is_file() else []
    return {
        "convergence": convergence(curve),
        "curve": curve,
        "recipe": _recipe(weights),
        "batch_norm": batch_norm_figures(weights / CLIP, unadapted_spec("aircraft", clip)),
        "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 2),
        "speed": speed(weights / "stable-diffusion"),
    }


def _recipe(weights: Path) -> dict[str, Any]:
    """Return the recipe that the weights were made by; today's where they do not say."""
    if not (weights / CARD_FILE).is_file():
        return asdict(Recipe())
    card = msgspec.json.decode((weights / CARD_FILE).read_bytes())
    return dict(card["recipe"])
