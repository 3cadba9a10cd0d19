"""Speed of feature extraction against the bare forward pass on tensors already in memory.

Usage: python tests/benchmarks/perf_features.py [--task mini-aircraft] [--model clip]

The first extraction reads and preprocesses images, while the forward pass runs; every later one
(each epoch's) finds them in memory, where they fit. Both ratios are printed; the goal for the
second is 0.95.
"""

import argparse
import time

import numpy as np
import torch

from adapt.models import Classifier, load_clip, text_head
from bench.core.paths import Home
from bench.tasks import find_task
from eval.features.model_features import ModelFeatures
from eval.features.task_images import TaskImages

TURNS = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="mini-aircraft")
    parser.add_argument("--model", default="clip")
    arguments = parser.parse_args()
    home, task = Home.from_environment(), find_task(arguments.task)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    clip = load_clip(home.find_weights(arguments.model), device)
    classifier = Classifier.from_clip(clip, task)

    def extract(images: TaskImages) -> float:
        view = ModelFeatures(classifier, images, lambda: text_head(clip, task))
        start = time.perf_counter()
        view.features("train")
        return time.perf_counter() - start

    images = TaskImages(task, home, clip.preprocess_val)
    images.split("train").read(0)  # The miniature world renders a split when it is first opened.
    first = extract(images)
    batches = list(images.batches("train"))
    bare, kept = [], []
    for _ in range(TURNS):
        start = time.perf_counter()
        with torch.inference_mode():
            for batch in batches:
                classifier.visual(batch.to(clip.device))
        if clip.device.type == "cuda":
            torch.cuda.synchronize()
        bare.append(time.perf_counter() - start)
        kept.append(extract(images))
    floor, n = float(np.min(bare)), sum(map(len, batches))
    print(f"{torch.get_num_threads()} threads, {device}; bare forward {n / floor:.0f} images/s")
    print(f"first extraction {n / first:.0f} images/s, ratio {floor / first:.2f}")
    print(f"later ones {n / min(kept):.0f} images/s, ratio {floor / min(kept):.2f}")


if __name__ == "__main__":
    main()
