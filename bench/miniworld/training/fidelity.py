"""Measure whether the generator generates the classes it is asked for.

A filter by similarity to the domain says nothing about that: images of no recognisable class pass
it. So the oracle judges real, rebuilt and generated images, and every report of a study in the
miniature world prints the result beside its accuracies.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from torch import Tensor

from bench.core.errors import RequestError
from bench.miniworld import captions
from bench.miniworld.pool import split_arrays
from bench.miniworld.render import CLASSES
from bench.miniworld.training.appearance import appearance, relative_detail
from bench.miniworld.training.diffusion import new_scheduler
from bench.miniworld.training.oracle import (
    CLASSES_PER_DOMAIN,
    DOMAINS,
    ORACLE_FILE,
    Oracle,
    class_logits,
    labelled,
    load_oracle,
    with_refitted_head,
)
from bench.miniworld.training.resumable import CPU
from bench.miniworld.training.vae import as_signed
from bench.runtime import threads
from bench.runtime.float32 import float32_products

FIDELITY_FILE = "fidelity.json"
PROMPTS = ("a photo of a {}", "photo of a {}", "{}", "a picture of a {}")
SCHEDULER, STEPS = "dpm++", 10
"""The preset's sampler. Twice as many steps of DDIM show the class as often, but less sharply."""
GUIDANCE = 2.5
IMAGES_PER_CLASS = 40
WRONG_IMAGES_PER_CLASS = 20
SEED = 7
SAMPLING_BATCH = 80
WRONG_BY = (3, 5)
"""A wrong class is this many places after the right one, within the domain."""

Measurements = dict[str, Any]


def measure(weights: Path, device: torch.device = CPU) -> Measurements:
    """Measure the weights of a folder, on a device, and write `fidelity.json` into it.

    Returns:
        What the file holds: the figures of `judge`.

    Raises:
        RequestError: A part of the weights is missing.
    """
    figures, _ = judge(weights, device)
    text = json.dumps(figures, indent=2) + "\n"
    # A matrix takes a line per row, not a line per number.
    text = re.sub(r"\[[\d,\s]+\]", lambda match: " ".join(match[0].split()), text)
    (weights / FIDELITY_FILE).write_text(text, encoding="utf-8")
    return figures


def require_parts(weights: Path) -> None:
    """Refuse a folder that lacks a part of the weights.

    Raises:
        RequestError: A part is missing.
    """
    parts = [weights / part for part in ("clip", "stable-diffusion", ORACLE_FILE)]
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        raise RequestError(f"no {', '.join(missing)} in {weights}", "train the miniature world")


@float32_products()
def judge(weights: Path, device: torch.device = CPU) -> tuple[Measurements, dict[str, Tensor]]:
    """Measure the weights of a folder.

    Accuracies are the oracle's, among the classes of the image's own domain; `right_domain` is
    the share of images whose best class of all belongs to it; `confusion` counts images by shown
    or asked class (row) and read class (column), in the order of `CLASSES`.

    Args:
        weights: Folder with `clip/`, `stable-diffusion/` and `oracle.safetensors`.
        device: Where generator and oracle compute. Noise is the CPU's: a GPU's images differ by
            rounding alone.

    Returns:
        `settings`, and for every domain `real`, `rebuilt` (encoded and decoded),
        `rebuilt_refitted` (the oracle's last layer fitted to rebuilt images), `generated`,
        `wrong_caption` (images for another class's captions, judged by a class that was not asked
        for: at or below chance when the caption decides), `conditioning_gap`, `appearance` (what
        rebuilt images keep, see there, and `fine_detail_generated`).
        Beside them the images that `generated` judged: by domain, uint8 [n, 32, 32, 3].

    Raises:
        RequestError: A part of the weights is missing.
    """
    require_parts(weights)
    oracle = load_oracle(weights / ORACLE_FILE).to(device)
    pipeline = load_pipeline(weights / "stable-diffusion").to(device)
    renders = _judged_renders(oracle, pipeline)
    samples = {domain: _judged_samples(oracle, pipeline, domain) for domain in DOMAINS}
    figures = {
        "settings": {
            "scheduler": SCHEDULER,
            "steps": STEPS,
            "guidance": GUIDANCE,
            "seed": SEED,
            "chance": 1 / CLASSES_PER_DOMAIN,
            "prompts": list(PROMPTS),
        },
        "domains": {
            domain: {
                **renders[domain],
                **samples[domain][0],
                "conditioning_gap": _conditioning_gap(pipeline, domain),
                "appearance": _appearance(weights / "clip", pipeline, domain, samples[domain][1]),
            }
            for domain in DOMAINS
        },
    }
    return figures, {domain: images for domain, (_, images) in samples.items()}


def class_prompts(domain: str, name: str) -> list[str]:
    """Return the prompts for a class: every form with every name it goes by."""
    aliases = captions.phrases()["domains"][domain]["classes"][name]["aliases"]
    return [form.format(alias) for alias in aliases for form in PROMPTS]


@torch.no_grad()
@float32_products()
def generate(pipeline: StableDiffusionPipeline, prompts: Sequence[str], seed: int) -> Tensor:
    """Return one image per prompt, generated as in the preset: uint8 [n, 32, 32, 3]."""
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, use_karras_sigmas=True
    )
    batches = []
    for start in range(0, len(prompts), SAMPLING_BATCH):
        images = pipeline(
            list(prompts[start : start + SAMPLING_BATCH]),
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            height=32,
            width=32,
            generator=torch.Generator().manual_seed(seed + start),
            output_type="pt",
        ).images
        batches.append(images.mul(255).round().byte().permute(0, 2, 3, 1).cpu())
    return torch.cat(batches)


@torch.no_grad()
def rebuild(pipeline: StableDiffusionPipeline, images: Tensor) -> Tensor:
    """Return uint8 images [n, 32, 32, 3], on the CPU, after encoding and decoding them."""
    vae, batches = pipeline.vae, []
    for batch in torch.split(images, 250):
        pixels = as_signed(batch.to(pipeline.device)).permute(0, 3, 1, 2)
        latent = vae.encode(pixels).latent_dist.mean
        pixels = vae.decode(latent).sample.clamp(-1, 1).add(1).mul(127.5)
        batches.append(pixels.round().byte().permute(0, 2, 3, 1).cpu())
    return torch.cat(batches)


def load_pipeline(folder: Path) -> StableDiffusionPipeline:
    """Return the pipeline in single precision; the files' half precision is slow on a CPU."""
    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.disable_progress_bar()
        library.set_verbosity_error()
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, dtype=torch.float32, safety_checker=None, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _judged_renders(oracle: Oracle, pipeline: StableDiffusionPipeline) -> dict[str, Measurements]:
    """Return the oracle's accuracies on real and rebuilt test images, by domain."""
    images, labels = labelled("test", processes=threads.cores())
    rebuilt = rebuild(pipeline, images)
    # Against the oracle as it is, this one tells lost information from a changed appearance.
    fitting_images, fitting_labels = labelled("oracle", processes=threads.cores())
    refitted = with_refitted_head(oracle, rebuild(pipeline, fitting_images), fitting_labels)
    sets = {
        "real": class_logits(oracle, images),
        "rebuilt": class_logits(oracle, rebuilt),
        "rebuilt_refitted": class_logits(refitted, rebuilt),
    }
    domain_of = labels // CLASSES_PER_DOMAIN
    figures: dict[str, Measurements] = {}
    for index, domain in enumerate(DOMAINS):
        inside = domain_of == index
        figures[domain] = {
            name: _accuracies(logits[inside], labels[inside]) for name, logits in sets.items()
        }
        figures[domain]["real"]["confusion"] = _confusion(sets["real"][inside], labels[inside])
    return figures


def generated_accuracies(
    pipeline: StableDiffusionPipeline, oracle_file: Path, per_class: int
) -> dict[str, float]:
    """Return the oracle's accuracy on images generated for each class, by domain."""
    oracle = load_oracle(oracle_file).to(pipeline.device)
    classes = torch.arange(CLASSES_PER_DOMAIN).repeat_interleave(per_class)
    accuracies = {}
    for index, domain in enumerate(DOMAINS):
        images = generate(pipeline, _prompts_for(domain, classes), SEED)
        labels = classes + index * CLASSES_PER_DOMAIN
        accuracies[domain] = float(_accuracies(class_logits(oracle, images), labels)["accuracy"])
    return accuracies


def _judged_samples(
    oracle: Oracle, pipeline: StableDiffusionPipeline, domain: str
) -> tuple[Measurements, Tensor]:
    """Return the oracle's accuracies on images from right and from wrong captions.

    Beside them the images from right captions, uint8 [n, 32, 32, 3].
    """
    first = DOMAINS.index(domain) * CLASSES_PER_DOMAIN

    def judged(count: int, shift: int) -> tuple[Tensor, Tensor, Tensor]:
        classes = torch.arange(CLASSES_PER_DOMAIN).repeat_interleave(count)
        prompts = _prompts_for(domain, (classes + shift) % CLASSES_PER_DOMAIN)
        images = generate(pipeline, prompts, SEED)
        return images, class_logits(oracle, images), classes + first

    images, logits, labels = judged(IMAGES_PER_CLASS, 0)
    right = {**_accuracies(logits, labels), "confusion": _confusion(logits, labels)}
    _, logits, labels = judged(WRONG_IMAGES_PER_CLASS, WRONG_BY[0])
    return {"generated": right, "wrong_caption": _accuracies(logits, labels)}, images


def _prompts_for(domain: str, classes: Tensor) -> list[str]:
    """Return one prompt per class index, going round each class's prompts."""
    texts = [class_prompts(domain, name) for name in CLASSES[domain]]
    chosen = [texts[index] for index in classes.tolist()]
    return [options[position % len(options)] for position, options in enumerate(chosen)]


def _accuracies(logits: Tensor, labels: Tensor) -> Measurements:
    """Return accuracy in all and per class, for images of one domain."""
    domain = int(labels[0]) // CLASSES_PER_DOMAIN
    first = domain * CLASSES_PER_DOMAIN
    right = logits[:, first : first + CLASSES_PER_DOMAIN].argmax(1) + first == labels
    names = list(CLASSES[DOMAINS[domain]])
    per_class = {
        name: round(right[labels == first + index].float().mean().item(), 3)
        for index, name in enumerate(names)
    }
    in_domain = logits.argmax(1) // CLASSES_PER_DOMAIN == domain
    return {
        "accuracy": round(right.float().mean().item(), 4),
        "n": len(labels),
        "right_domain": round(in_domain.float().mean().item(), 4),
        "per_class": per_class,
    }


def _confusion(logits: Tensor, labels: Tensor) -> list[list[int]]:
    """Return how many images of each class (row) are read as each class of their one domain."""
    first = int(labels[0]) // CLASSES_PER_DOMAIN * CLASSES_PER_DOMAIN
    read = logits[:, first : first + CLASSES_PER_DOMAIN].argmax(1)
    cells = (labels - first) * CLASSES_PER_DOMAIN + read
    counts = torch.bincount(cells, minlength=CLASSES_PER_DOMAIN**2)
    matrix: list[list[int]] = counts.view(-1, CLASSES_PER_DOMAIN).tolist()
    return matrix


def _domain_split(domain: str, split: str) -> tuple[Tensor, Tensor]:
    """Return a domain's split: uint8 [n, 32, 32, 3] and labels within the domain."""
    images, labels = split_arrays(domain, split)
    return torch.from_numpy(images), torch.from_numpy(labels)


@torch.no_grad()
def _conditioning_gap(pipeline: StableDiffusionPipeline, domain: str) -> Measurements:
    """Return the UNet's error on validation images with the right, a wrong and no class.

    A generator that ignores the class has `wrong` equal to `right`. `standard_error` is that of
    the gap, over images: each has the right and the wrong class under the same noise.
    """
    images, classes = _domain_split(domain, "val")
    device = pipeline.device
    pixels = as_signed(images.to(device)).permute(0, 3, 1, 2)
    latents = pipeline.vae.encode(pixels).latent_dist.mean * pipeline.vae.config.scaling_factor
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.randn(latents.shape, generator=generator).to(device)
    # Very early and very late times say nothing about the class.
    times = torch.randint(200, 900, (len(latents),), generator=generator).to(device)
    scheduler = new_scheduler()
    noisy = scheduler.add_noise(latents, noise, times)
    target = scheduler.get_velocity(latents, noise, times)

    def error_of_each(prompts: list[str]) -> Tensor:
        states = pipeline.encode_prompt(prompts, device, 1, False)[0]
        predicted = pipeline.unet(noisy, times, states).sample
        error: Tensor = (predicted - target).square().mean((1, 2, 3))
        return error

    right = error_of_each(_prompts_for(domain, classes))
    shifted = [(classes + shift) % CLASSES_PER_DOMAIN for shift in WRONG_BY]
    wrong = torch.stack([error_of_each(_prompts_for(domain, other)) for other in shifted]).mean(0)
    gaps = wrong - right
    figures = {
        "right": right.mean(),
        "wrong": wrong.mean(),
        "no_caption": error_of_each([""] * len(latents)).mean(),
        "gap": gaps.mean(),
        "standard_error": gaps.std() / len(gaps) ** 0.5,
    }
    return {name: round(value.item(), 5) for name, value in figures.items()}


def _appearance(
    clip: Path, pipeline: StableDiffusionPipeline, domain: str, generated: Tensor
) -> Measurements:
    """Return how a domain's rebuilt and generated images look beside its test images."""
    images, classes = _domain_split(domain, "test")
    prompts = [class_prompts(domain, name) for name in CLASSES[domain]]
    return {
        **appearance(clip, prompts, classes, images, rebuild(pipeline, images)),
        "fine_detail_generated": round(relative_detail(generated, images), 4),
    }
