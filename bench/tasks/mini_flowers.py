"""The miniature world's flowers."""

from bench.plugins import tasks
from bench.tasks._mini import MiniTask

tasks.register("mini-flowers")(MiniTask.load("flowers"))
