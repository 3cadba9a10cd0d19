"""Train the miniature world: `python -m bench.miniworld.training.train --work W --out O`.

Resumable: started again with the same work folder it continues each model from its last
checkpoint, at most two minutes old, and skips what is finished.
"""

import argparse
import json
import multiprocessing
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from bench.core.errors import BenchError, RequestError
from bench.core.files import atomic_file, atomic_folder, write_json
from bench.miniworld import captions
from bench.miniworld.pool import build_pool, training_pairs
from bench.miniworld.training.clip import train_clip, train_conditioner
from bench.miniworld.training.decoder import train_decoder
from bench.miniworld.training.diffusion import save_pipeline
from bench.miniworld.training.fidelity import FIDELITY_FILE, PROMPTS, measure
from bench.miniworld.training.oracle import ORACLE_FILE, RENDERS_FILE, labelled, train_oracle
from bench.miniworld.training.recipe import Recipe
from bench.miniworld.training.resumable import (
    CPU,
    CURVE_FILE,
    device_named,
    log_to_stderr,
    read_curve,
)
from bench.miniworld.training.tokenizer import train_tokenizer
from bench.miniworld.training.unet import train_unet
from bench.miniworld.training.vae import train_vae
from bench.runtime import threads
from bench.storage.tar_shards import sha256

CARD_FILE = "card.json"
DEVICES = ("cpu", "cuda")
LIBRARIES = ("torch", "open_clip_torch", "diffusers", "transformers", "tokenizers", "numpy")

Trainer = Callable[[Path, Recipe, torch.device], None]


def train(work: Path, out: Path, recipe: Recipe | None = None, device: torch.device = CPU) -> None:
    """Train tokenizer, CLIPs, autoencoder, oracle, UNet and decoder, and measure what they do.

    Args:
        work: Folder for the pool, checkpoints and `curve.jsonl`; reuse it to continue.
        out: Folder for the weights: `clip/`, `stable-diffusion/`, `oracle.safetensors`,
            `curve.jsonl`, `fidelity.json` and `card.json`.
        recipe: Other steps and rates than the device's: a CPU's are the ones that made the shipped
            weights, a GPU's are `Recipe.for_cuda`.
        device: Where to train.

    Raises:
        RequestError: The work folder belongs to a training with another recipe.
        BenchError: A training process ended early.
    """
    recipe = recipe or (Recipe() if device.type == "cpu" else Recipe.for_cuda())
    _claim(work, recipe)
    prepare_data(work, recipe)
    # The first three take about as long together as the autoencoder.
    _train_queues(
        [(train_conditioner, train_oracle, train_clip), (train_vae,)], work, recipe, device
    )
    train_unet(work, recipe, device)
    _train_queues([(train_decoder,)], work, recipe, device)
    _deliver(work, out)
    measure(out, device)
    _write_card(work, out, recipe, device)


def _claim(work: Path, recipe: Recipe) -> None:
    """Write the recipe into the work folder; refuse a folder that was begun with another one."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / "recipe.json"
    if path.exists() and json.loads(path.read_bytes()) != asdict(recipe):
        raise RequestError(f"{work} holds a training with another recipe", "use a new work folder")
    write_json(path, asdict(recipe))


def prepare_data(work: Path, recipe: Recipe) -> None:
    """Write what all trainings read: the pool's pairs, the tokenizer and the oracle's renders."""
    _prepare_pairs(work, recipe)
    _prepare_renders(work, recipe)


def _prepare_pairs(work: Path, recipe: Recipe) -> None:
    """Write the pool's pairs as `pairs.npy` and `captions.json`, and the tokenizer."""
    if (work / "tokenizer").exists():
        return
    build_pool(work, size=recipe.pool_size, seed=recipe.seed)
    images, texts = training_pairs(work, threads.cores())
    np.save(work / "pairs.npy", images)
    (work / "captions.json").write_text(json.dumps(texts), encoding="utf-8")
    with atomic_folder(work / "tokenizer") as folder:
        train_tokenizer([*texts, *_prompts()], folder)


def _prepare_renders(work: Path, recipe: Recipe) -> None:
    """Write the oracle's clean renders as `oracle-images.npy`."""
    if (work / RENDERS_FILE).exists():
        return
    images, _ = labelled("oracle", count=recipe.oracle_images, processes=threads.cores())
    with atomic_file(work / RENDERS_FILE) as partial, partial.open("wb") as file:
        np.save(file, images.numpy())


def _prompts() -> Iterable[str]:
    """Yield what the classes will be called by, so that the tokenizer knows these words too."""
    for domain in captions.phrases()["domains"].values():
        for names in domain["classes"].values():
            yield from (form.format(alias) for form in PROMPTS for alias in names["aliases"])


def _train_queues(
    queues: list[tuple[Trainer, ...]], work: Path, recipe: Recipe, device: torch.device
) -> None:
    """Run queues of trainings: side by side in one process each, or one after the other here."""
    if recipe.processes == 1:
        log_to_stderr()
        for queue in queues:
            for trainer in queue:
                trainer(work, recipe, device)
        return
    spawn = multiprocessing.get_context("spawn")
    workers = [
        spawn.Process(target=_train_all, args=(queue, work, recipe, device), daemon=True)
        for queue in queues
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode != 0 for worker in workers):
        raise BenchError("a training process ended early", "see its log and run again")


def _train_all(
    queue: tuple[Trainer, ...], work: Path, recipe: Recipe, device: torch.device
) -> None:
    log_to_stderr()
    torch.set_num_threads(1)
    for trainer in queue:
        trainer(work, recipe, device)


def _deliver(work: Path, out: Path) -> None:
    """Put the weights of the work folder into the out folder, in place of older ones."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("clip", "stable-diffusion"):
        shutil.rmtree(out / name, ignore_errors=True)
    shutil.copytree(work / "clip", out / "clip")
    save_pipeline(work, out / "stable-diffusion")
    shutil.copy(work / ORACLE_FILE, out / ORACLE_FILE)
    curve = [json.dumps(line) + "\n" for line in read_curve(work / CURVE_FILE)]
    (out / CURVE_FILE).write_text("".join(curve), encoding="utf-8")
    (out / FIDELITY_FILE).unlink(missing_ok=True)


def _write_card(work: Path, out: Path, recipe: Recipe, device: torch.device) -> None:
    """Write what the weights were made with, and the hash of each file."""
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name != CARD_FILE)
    card = {
        "recipe": asdict(recipe),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "pool_sha256": sha256((work / "pairs.npy").read_bytes()),
        "wall_minutes": _wall_minutes(work / CURVE_FILE),
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in LIBRARIES},
        "files": {
            path.relative_to(out).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": sha256(path.read_bytes()),
            }
            for path in files
        },
    }
    write_json(out / CARD_FILE, card)


def _wall_minutes(curve: Path) -> dict[str, float]:
    """Return how long each model trained, in minutes, on the machine that made the weights."""
    return {line["model"]: round(line["seconds"] / 60, 1) for line in read_curve(curve)}


def main() -> None:
    """Train with the options of the command line; exit with 2 at a wrong request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="checkpoints and curves")
    parser.add_argument("--out", type=Path, required=True, help="where the weights go")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where to train")
    arguments = parser.parse_args()
    log_to_stderr()
    try:
        train(arguments.work, arguments.out, device=device_named(arguments.device))
    except BenchError as error:
        sys.stderr.write(f"bench: error: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
