"""Stanford Cars, 196 models; its train split is cut 80/20 for validation (002, appendix B)."""

from bench.plugins import tasks
from bench.tasks._published import PublishedTask

tasks.register("cars")(PublishedTask.load("cars", "StanfordCars", val_of_train=0.2))
