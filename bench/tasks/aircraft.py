"""FGVC-Aircraft, 100 variants (2013b)."""

from bench.plugins import tasks
from bench.tasks._published import PublishedTask

tasks.register("aircraft")(PublishedTask.load("aircraft", "FGVCAircraft"))
