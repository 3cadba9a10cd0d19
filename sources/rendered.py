"""The miniature world's renderer itself: clean images of every class, apart from every split.

No outside source can do better than as many of these. They show whether a study in this world could
find a difference at all. With captions it is an ideal generator: what a caption fixes is so in all
of its images, and the rest is as varied as in any others.
"""

from collections.abc import Iterator
from typing import Annotated, ClassVar

import msgspec
import polars as pl
from PIL import Image

from bench.core.config import Config, Positive
from bench.core.errors import RequestError
from bench.core.json_values import Json, digest
from bench.core.paths import Home
from bench.core.task import Task
from bench.miniworld.pool import IMAGE_SIZE, Pixels, split_seeds
from bench.miniworld.render import ASPECTS, Aspect, render
from bench.miniworld.scenes import MOST_COPIES, IdealGenerator, SceneImage
from bench.plugins import sources
from bench.plugins.source import Context
from bench.storage.image_codec import ImageFormat
from bench.storage.image_set import ImageSet
from bench.storage.packing import EncodedImage, pack_images, packed_rows
from bench.storage.stage import Stage
from bench.tasks import MiniTask

SPLIT = "clean"
SCENES_PER_BLOCK = 16
"""Scenes of a stage: with eight classes 128 images, and 512 with four of each caption, which take
a second."""


@sources.register("rendered")
class Rendered:
    """As many renders of each class, the right label on all of them."""

    captioned_by = "source.captions=true"

    class Options(Config, frozen=True, kw_only=True):
        """Whether the renders have captions, what a caption fixes, and how they are kept."""

        later: ClassVar = ("captions", "fixes", "images_per_caption", "size")

        images: ImageFormat = ImageFormat()
        captions: bool = False
        """Whether images have captions: of a class and a numbered scene, and every scene has one of
        each class. These images are others than those without captions."""
        fixes: list[Aspect] = []
        """What all images of a scene have in common, whatever their class: ``backdrop`` (what is
        around the object and in front of it), ``paint`` (colours, markings, the individual),
        ``view`` (pose, scale, position, crop, light). The rest is each image's own."""
        images_per_caption: Annotated[int, msgspec.Meta(ge=1, le=MOST_COPIES)] = 1
        """Images of each caption; n stays the number of images."""
        size: Positive | None = None
        """Images to render with captions; None for the n of the run. Whole scenes are rendered."""

        @classmethod
        def complete(cls, values: Json) -> Json:
            """Return the values with the aspects in one order: they mean the same in any."""
            fixes = values.get("fixes")
            if not isinstance(fixes, list) or any(aspect not in ASPECTS for aspect in fixes):
                return values
            return values | {"fixes": [aspect for aspect in ASPECTS if aspect in fixes]}

    def __init__(self, options: Options) -> None:
        self.options = options
        self.images = options.images
        changed = {
            "fixes": bool(options.fixes),
            "images_per_caption": options.images_per_caption > 1,
            "size": options.size is not None,
        }
        for name in [name for name, given in changed.items() if given and not options.captions]:
            raise RequestError(
                f"source.{name} is of renders with captions, and these have none",
                f"add --set {self.captioned_by}, or leave it out",
            )

    @property
    def captioned(self) -> bool:
        """Whether images have captions."""
        return self.options.captions

    @property
    def paired(self) -> bool:
        """Whether captions differ in nothing but the class."""
        return self.options.captions

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return nothing beyond the task, whose fingerprint the run has."""
        return {}

    def check(self, task: Task) -> None:
        """Make sure that the task is one of the miniature world's.

        Raises:
            RequestError: If it is not.
        """
        _miniature(task)

    def collect(self, context: Context) -> ImageSet:
        """Return the renders.

        Raises:
            RequestError: If they have captions and it is not said how many are wanted.
        """
        task, options = _miniature(context.task), self.options
        rows = self._captioned(context, task) if options.captions else self._clean(context, task)
        rows = rows.with_columns(origin=pl.lit("rendered"))
        summary: Json = {}
        if options.captions:
            summary = {"fixes": options.fixes, "images_per_caption": options.images_per_caption}
        counts = {"matched": rows.height, "fetched": rows.height, "kept": rows.height}
        return ImageSet.write(context.home.data, rows, task, "rendered", summary, counts)

    def _clean(self, context: Context, task: MiniTask) -> pl.DataFrame:
        """Return the rows of a fixed number of images of each class."""
        seeds = split_seeds(SPLIT)
        config = {"task": task.fingerprint, "count": len(seeds), "images": self.images.recipe}
        stage = context.stage("rendered", config)

        def images(wanted: range) -> Iterator[EncodedImage]:
            for index in wanted:
                label, place = divmod(index, len(seeds))
                pixels = render(task.domain, task.class_names[label], seeds[place], size=IMAGE_SIZE)
                yield self._encoded(pixels, digest(["rendered", task.domain, index], 16), label)

        pack_images(stage, len(seeds) * len(task.class_names), images)
        return packed_rows(stage, task.class_names)

    def _captioned(self, context: Context, task: MiniTask) -> pl.DataFrame:
        """Return the rows of the first scenes, as many as are needed; a larger n adds some."""
        names = tuple(map(task.prompt_name, task.class_names))
        options = self.options
        generator = IdealGenerator(
            task.domain, names, tuple(options.fixes), options.images_per_caption
        )
        scenes = range(-(-self._needed(context) // generator.per_scene))
        stages = [
            self._rendered(context, task, generator, range(first, first + SCENES_PER_BLOCK))
            for first in scenes[::SCENES_PER_BLOCK]
        ]
        wanted = pl.DataFrame(generator.images(scenes), schema=SceneImage._fields, orient="row")
        facts = wanted.drop("label", "scene")
        packed = pl.concat(packed_rows(stage, task.class_names) for stage in stages)
        return packed.drop(set(facts.columns) - {"key"}, strict=False).join(facts, on="key")

    def _rendered(
        self, context: Context, task: MiniTask, generator: IdealGenerator, scenes: range
    ) -> Stage:
        """Return the finished stage of a block of scenes."""
        planned = generator.images(scenes)
        config = {
            "task": task.fingerprint,
            "scenes": [scenes.start, scenes.stop],
            "fixes": generator.fixes,
            "images_per_caption": generator.per_caption,
            "images": self.images.recipe,
        }
        stage = context.stage("rendered", config)

        def images(wanted: range) -> Iterator[EncodedImage]:
            for image in planned[wanted.start : wanted.stop]:
                yield self._encoded(generator.pixels(image), image.key, image.label)

        pack_images(stage, len(planned), images)
        return stage

    def _encoded(self, pixels: Pixels, key: str, label: int) -> EncodedImage:
        kept_as = self.images
        image = kept_as.fitted(Image.fromarray(pixels))
        return EncodedImage(key, kept_as.encoded(image), kept_as.suffix, label, image.size)

    def _needed(self, context: Context) -> int:
        if context.n is None and self.options.size is None:
            raise RequestError(
                "the renderer has no end, so --n all means nothing to it",
                "give a number, or --set source.size=NUMBER",
            )
        return max(context.n or 0, self.options.size or 0)


def _miniature(task: Task) -> MiniTask:
    if not isinstance(task, MiniTask):
        raise RequestError(
            f"the source 'rendered' has miniature classes only, not those of {task.name}",
            "take one of aircraft, cars and flowers with --preset mini, or --source real",
        )
    return task
