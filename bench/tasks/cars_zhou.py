"""Stanford Cars in the split of CoOp's authors; captions write its cars as those of `cars`."""

from bench.plugins import tasks
from bench.tasks._published import PublishedTask
from bench.tasks.cars import with_years

tasks.register("cars-zhou")(with_years(PublishedTask.load("cars-zhou")))
