"""What a plug-in implements, and the registries that find it by name.

Everything that an outside package needs is imported from here:

from bench.plugins import sources

@sources.register("mine")
class Mine: ...
"""

from bench.plugins.registries import (
    evaluator_of,
    evaluators,
    full_options,
    objectives,
    source_of,
    sources,
    tasks,
    writer_of,
    writers,
)

__all__ = [
    "evaluator_of",
    "evaluators",
    "full_options",
    "objectives",
    "source_of",
    "sources",
    "tasks",
    "writer_of",
    "writers",
]
