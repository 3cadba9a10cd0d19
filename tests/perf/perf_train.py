"""Speed of the real training loop against forward and backward on tensors already in memory.

Usage: python tests/perf/perf_train.py [--model FOLDER] [--images 512] [--batch 64] [--workers 0]

Without a folder the model is a ModifiedResNet of the miniature world's shape with random weights.
The loop reads tars, decodes, augments, steps, judges nothing and writes its checkpoints.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

from adapt.data import TrainingImages
from adapt.finetune import finetune
from adapt.models import Classifier, Clip, load_clip
from adapt.objectives.ce import CrossEntropy
from adapt.optimise import make_optimiser
from bench.progress import Progress
from bench.types import TrainSpec
from tests.tiny_clip import colour_task, write_colours, write_tiny_clip

EPOCHS = 3


def miniature(folder: Path) -> Path:
    """Write a model with the image tower of the miniature world (MINIWORLD.md): 64 px, width 16."""
    write_tiny_clip(folder, batch_norm=True)
    path = folder / "open_clip_config.json"
    content = json.loads(path.read_text())
    tower = {"image_size": 64, "width": 16, "layers": [1, 1, 1, 1]}
    content["model_cfg"].update(embed_dim=128, vision_cfg=tower)
    path.write_text(json.dumps(content))
    (folder / "open_clip_model.safetensors").unlink()
    model = open_clip.create_model(f"local-dir:{folder}")
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def floor(clip: Clip, spec: TrainSpec, count: int) -> float:
    """Return images per second of forward, backward and step on one batch in memory."""
    classifier = Classifier.from_clip(clip, colour_task()).train()
    optimiser = make_optimiser(classifier, spec)
    size = clip.model.visual.image_size
    height, width = size if isinstance(size, tuple) else (size, size)
    pixels = torch.randn(spec.batch_size, 3, height, width, device=clip.device)
    labels = torch.arange(spec.batch_size, device=clip.device) % 3
    steps = EPOCHS * -(-count // spec.batch_size)
    start = time.perf_counter()
    for step in range(steps + 2):
        if step == 2:  # The first two warm caches and allocators.
            start = time.perf_counter()
        CrossEntropy().loss(classifier, pixels, labels).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(classifier.parameters(), spec.clip_norm)
        optimiser.step()
        optimiser.zero_grad()
    if clip.device.type == "cuda":
        torch.cuda.synchronize()
    return steps * spec.batch_size / (time.perf_counter() - start)


def loop(clip: Clip, spec: TrainSpec, count: int, folder: Path) -> float:
    """Return images per second of the real loop, reading and decoding included."""
    image_set = write_colours(folder / "data", count, colour_task())
    start = time.perf_counter()
    rows = image_set.select(None, 0, "random")
    images = TrainingImages(image_set.data, rows, clip.preprocess_train, seed=0)
    decoding = time.perf_counter() - start
    adapted = finetune(
        Classifier.from_clip(clip, colour_task()),
        images,
        CrossEntropy(),
        spec,
        folder=folder / "run",
        validate=lambda _: 0.0,
        progress=Progress(quiet=True),
    )
    return EPOCHS * count / (decoding + sum(adapted.timings.values()))


def main() -> None:
    """Measure both and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=0)
    arguments = parser.parse_args()
    spec = TrainSpec(epochs=EPOCHS, batch_size=arguments.batch, workers=arguments.workers)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        clip = load_clip(arguments.model or miniature(Path(folder) / "clip"), device)
        print(f"{torch.get_num_threads()} threads, {device}")
        for turn in range(2):
            bottom = floor(clip, spec, arguments.images)
            real = loop(clip, spec, arguments.images, Path(folder) / str(turn))
            print(f"floor {bottom:.0f} images/s, loop {real:.0f}, ratio {real / bottom:.2f}")


if __name__ == "__main__":
    main()
