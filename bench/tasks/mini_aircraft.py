"""The miniature world's aircraft."""

from bench.plugins import tasks
from bench.tasks._mini import MiniTask

tasks.register("mini-aircraft")(MiniTask.load("aircraft"))
