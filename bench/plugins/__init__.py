"""The interfaces that a plug-in implements, and the registries that find it by name.

Everything that an outside package needs is imported from here:

from bench.plugins import Config, Context, ImageSet, sources

@sources.register("mine")
class Mine: ...
"""

from bench.core.config import Config
from bench.core.errors import BenchError, RequestError
from bench.core.files import fingerprint
from bench.core.json_values import Json
from bench.core.missing import MissingError
from bench.core.paths import Home
from bench.core.task import Split, Task
from bench.plugins.captions import Caption, CaptionBrief, CaptionOrder, CaptionWriter
from bench.plugins.evaluation import Evaluation, Evaluator, ModelView
from bench.plugins.objective import Batch, Masks, Needs, Objective, Start, View
from bench.plugins.registries import (
    evaluator_of,
    evaluators,
    full_options,
    needs_of,
    objective_of,
    objectives,
    source_of,
    sources,
    tasks,
    writer_of,
    writers,
)
from bench.plugins.source import Context, Embedder, Source
from bench.storage.image_codec import ImageFormat
from bench.storage.image_set import ImageSet, read_image

__all__ = [
    "Batch",
    "BenchError",
    "Caption",
    "CaptionBrief",
    "CaptionOrder",
    "CaptionWriter",
    "Config",
    "Context",
    "Embedder",
    "Evaluation",
    "Evaluator",
    "Home",
    "ImageFormat",
    "ImageSet",
    "Json",
    "Masks",
    "MissingError",
    "ModelView",
    "Needs",
    "Objective",
    "RequestError",
    "Source",
    "Split",
    "Start",
    "Task",
    "View",
    "evaluator_of",
    "evaluators",
    "fingerprint",
    "full_options",
    "needs_of",
    "objective_of",
    "objectives",
    "read_image",
    "source_of",
    "sources",
    "tasks",
    "writer_of",
    "writers",
]
