"""A deterministic renderer of small pictures of a miniature closed world.

Three domains of eight classes each, told apart by structure and not by colour, and distractors:
other subjects, some of which share a word or the surroundings with a class.
"""

from bench.miniworld.render.chances import ASPECTS, Aspect, Fixed
from bench.miniworld.render.picture import CLASSES, DISTRACTORS, attributes, render

__all__ = ["ASPECTS", "CLASSES", "DISTRACTORS", "Aspect", "Fixed", "attributes", "render"]
