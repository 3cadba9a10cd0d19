"""Stanford Cars, 196 models; 80/20 for train and validation (Geng 2024, code)."""

from bench.plugins import tasks
from bench.tasks._published import PublishedTask

tasks.register("cars")(PublishedTask.load("cars", "StanfordCars", val_of_train=0.2))
