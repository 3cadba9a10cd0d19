"""Stanford Cars, 196 models: captions write a car with its year, or without."""

import msgspec

from bench.core.task import Queries
from bench.plugins import tasks
from bench.tasks._published import PublishedTask

_FORMS = ("{name}", "{name} {year}", "{name}, {year}", "{name} ({year})", "{year} {name}")
"""How captions write a car's name. The year tells seven pairs of classes apart, and the longest
spelling decides; a caption without it names both of a pair."""


def with_years(task: PublishedTask) -> PublishedTask:
    """Return the task with queries in all forms of each class's spellings."""
    queries: Queries = {}
    for class_name in task.class_names:
        name, year = class_name.rsplit(" ", 1)
        spellings = task.query(class_name).any if class_name in task.queries else (name,)
        queries[class_name] = tuple(
            form.format(name=spelling, year=year) for spelling in spellings for form in _FORMS
        )
    return msgspec.structs.replace(task, queries=queries)


tasks.register("cars")(with_years(PublishedTask.load("cars")))
