"""Oxford Flowers, 102 categories."""

from bench.plugins import tasks
from bench.tasks._published import PublishedTask

tasks.register("flowers")(PublishedTask.load("flowers", "Flowers102"))
