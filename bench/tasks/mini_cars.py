"""The miniature world's cars."""

from bench.plugins import tasks
from bench.tasks._mini import MiniTask

tasks.register("mini-cars")(MiniTask.load("cars"))
