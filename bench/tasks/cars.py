"""Stanford Cars, 196 models; 80/20 for train and validation (Geng 2024, code, vtab_datasets.py)."""

import msgspec

from bench.core.paths import Home
from bench.core.task import Queries
from bench.plugins import tasks
from bench.tasks._published import PublishedTask

_FORMS = ("{name}", "{name} {year}", "{name}, {year}", "{name} ({year})", "{year} {name}")
"""How captions write a car's name. The year tells seven pairs of classes apart, and the longest
spelling decides; a caption without it names both of a pair."""


class CarsTask(PublishedTask, frozen=True, kw_only=True):
    """Stanford Cars, which can only be fetched by hand: its official address is gone."""

    def how_to_get(self, home: Home) -> str:
        """Return how to get the data, which are laid out as torchvision expects."""
        place = self.folder(home) / self.images
        return (
            f"its official address is gone: get images and devkit by hand (pytorch/vision issue "
            f"7545 says where), put cars_train, cars_test, devkit and "
            f"cars_test_annos_withlabels.mat into {place}, and check them with "
            f"`bench fetch --task {self.name}`; or try --preset mini"
        )

    def remedy(self, home: Home) -> str:
        """Return how to replace data that are not the official ones."""
        return (
            f"replace it by the official one (pytorch/vision issue 7545 says where), and check all "
            f"with `bench fetch --task {self.name}`"
        )


def _with_years(task: PublishedTask) -> PublishedTask:
    """Return the task with queries in all forms of each class's spellings."""
    queries: Queries = {}
    for class_name in task.class_names:
        name, year = class_name.rsplit(" ", 1)
        spellings = task.query(class_name).any if class_name in task.queries else (name,)
        queries[class_name] = tuple(
            form.format(name=spelling, year=year) for spelling in spellings for form in _FORMS
        )
    return msgspec.structs.replace(task, queries=queries)


tasks.register("cars")(_with_years(CarsTask.load("cars", "StanfordCars", val_of_train=0.2)))
