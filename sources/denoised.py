"""Images of another source, noised and denoised by a generator: the authors' later ablation.

images → noise of a given strength → denoise with a prompt → embed → score, filter and
de-duplicate. What the generator changes is all that sets them apart from the images they began as.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
import polars as pl
from PIL import Image

from bench.core.config import Config, Positive
from bench.core.errors import RequestError
from bench.core.files import fingerprint
from bench.core.json_values import Json, digest
from bench.core.missing import together
from bench.core.paths import Home
from bench.core.stage_names import DENOISE, LOAD
from bench.core.task import Task
from bench.plugins import source_of, sources
from bench.plugins.images import check_kept_alike
from bench.plugins.optional import ChecksTask, HasNotes, HasOthers, RetriesFailed, SupportsEstimate
from bench.plugins.source import Context
from bench.storage.image_codec import ImageFormat
from bench.storage.image_set import ImageSet, read_image
from bench.storage.stage import Stage
from sources.generation.checkpoint import check_generator
from sources.generation.cost import Workload, estimate
from sources.generation.generate import Generator
from sources.generation.options import GeneratorOptions
from sources.screening.rules import OptionalRule, check_others
from sources.screening.screen import check_cap, collect_until, counts_of, write_audit


@sources.register("denoised")
class Denoised:
    """One image per image of another source."""

    class Options(Config, frozen=True, kw_only=True):
        """Which images, how much noise, which generator, and which images are kept."""

        of: str = "retrieved"
        """The source whose images are taken."""
        options: dict[str, Json] = {}
        """Options of that source, under its name; the preset's where none are given."""
        strength: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.1
        """Share of the noise schedule that is laid over an image and taken off again; so many of
        the steps are done (Geng 2024, code, img2img_noise_denoise.py: 0.1)."""
        prompt: Literal["class", "caption"] = "class"
        """The prompt: the template with the class name, or the image's caption."""
        template: str = "{}"
        """Has one ``{}`` for the class name (Geng 2024, code: the name alone)."""
        generation: GeneratorOptions
        images: ImageFormat = ImageFormat()
        filter: OptionalRule
        size: Positive | None = None
        """Images to have in the end; None for the n of the run, or all there are. A study sets its
        largest n, so that all its runs take their subsets from one set."""
        seed: int = 0
        """Seed of the noise and of which images are taken."""

        def __post_init__(self) -> None:
            steps = self.generation.steps
            if int(steps * self.strength) < 1:
                raise ValueError(
                    f"{steps} steps of strength {self.strength} are less than one step"
                )
            if self.template.count("{}") != 1:
                raise ValueError(f"the template {self.template!r} needs one {{}}")

    def __init__(self, options: Options) -> None:
        if options.of in ("none", "denoised"):
            raise RequestError(f"{options.of!r} has no images to denoise", "choose another source")
        self.options = options
        self.inner = source_of(options.of, options.options.get(options.of, {}))
        self.images = options.images
        check_kept_alike({"denoised": self, options.of: self.inner})

    @property
    def job_stages(self) -> tuple[tuple[str, ...], ...]:
        """Names of the stages that take long, with those that come on the way to them."""
        return ((LOAD, DENOISE),)

    def most_shards(self, stage: str, context: Context) -> int | None:
        """Return how many shards of its stage there are to make; None if that is not known yet."""
        needed = self._needed(context)
        return None if needed is None else -(-needed // self.options.generation.shard_size)

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return the fingerprints of generator and scoring weights, and the inner source's."""
        options = self.options
        parts: dict[str, Callable[[], dict[str, str]]] = {
            "generator": lambda: {
                "generator": fingerprint(check_generator(options.generation, home))
            },
            "filter": lambda: {"filter_model": fingerprint(home.find_clip(options.filter.model))},
            "inner": lambda: self.inner.fingerprints(home),
        }
        found = together(parts)
        inner = {f"{options.of}.{key}": value for key, value in found["inner"].items()}
        return {**found["generator"], **found["filter"], **inner}

    def check(self, task: Task) -> None:
        """Check that the inner source supports the task, and the filter its images.

        Raises:
            RequestError: If not.
        """
        if isinstance(self.inner, ChecksTask):
            self.inner.check(task)
        if self.others(task):
            check_others(self.options.filter)

    def others(self, task: Task) -> bool:
        """Return whether images of the inner source may be of no class."""
        return isinstance(self.inner, HasOthers) and self.inner.others(task)

    def notes(self, home: Home) -> list[str]:
        """Return the notes of the source whose images are taken."""
        return self.inner.notes(home) if isinstance(self.inner, HasNotes) else []

    def estimate(self, context: Context) -> Json:
        """Return images, forwards, hours and bytes, from the measured speed of a few batches.

        Where the inner source can say what it costs, that is added under its name.

        Raises:
            RequestError: If neither the run nor ``size`` says how many images there are.
        """
        options, images = self.options, self._needed(context)
        if images is None:
            raise RequestError(
                "how many images there are is known when they are there",
                "give --n or --set source.size=NUMBER",
            )
        prompts = [self._prompt(name, context.task) for name in context.task.class_names]
        height = options.generation.height
        grey = Image.new("RGB", (height, height), "grey")
        work = Workload(images, options.generation.steps, prompts, grey, options.strength)
        cost = estimate(self._generator(context), options.generation, work)
        if isinstance(self.inner, SupportsEstimate):
            cost[options.of] = self.inner.estimate(context.with_n(images))
        return cost

    def retry_failed(self, context: Context) -> bool:
        """Begin another attempt at what the inner source failed to get."""
        return isinstance(self.inner, RetriesFailed) and self.inner.retry_failed(context)

    def collect(self, context: Context) -> ImageSet:
        """Return as many denoised images as are needed, or all that are not copies.

        Raises:
            RequestError: If ``size`` is less than the run asks for, or captions are to be the
                prompts and images have none.
            BenchError: As the inner source, or if no image is fit to be kept, or most are copies.
        """
        options, needed = self.options, self._needed(context)
        generator = self._generator(context)
        generator.try_out(context)
        inner = self.inner.collect(context.with_n(needed))
        generation = _Images(self, generator, context, inner, needed)
        screened = collect_until(needed, generation, options.filter, context)
        facts = (
            "key",
            "label",
            "class_name",
            "caption",
            "caption_id",
            "copy",
            "pair",
            "url",
            "seed",
        )
        rows = screened.unique.rows.drop("label").join(
            generation.requested.select(facts), on="key", how="left", maintain_order="left"
        )
        counts = counts_of(generation, screened, context)
        counts[options.of] = generation.inner.manifest.stage_counts
        summary = {name: getattr(options, name) for name in ("of", "strength", "prompt")}
        summary["generation"] = options.generation.summary
        summary["filter"] = msgspec.to_builtins(options.filter)
        rows = rows.with_columns(origin=pl.lit("denoised"))
        images = ImageSet.write(context.home.data, rows, context.task, "denoised", summary, counts)
        write_audit(images, screened, options.filter, context)
        return images

    def _generator(self, context: Context) -> Generator:
        options = self.options
        return Generator(options.generation, self.images, context.home, options.strength)

    def _needed(self, context: Context) -> int | None:
        """Return how many images there are to be; None for all."""
        size, n = self.options.size, context.n
        if size is not None and n is not None and size < n:
            raise RequestError(
                f"{n} images are asked for, and source.size={size} makes fewer",
                f"ask for --n {size} or fewer, or --set source.size={n}",
            )
        needed = size if size is not None else n
        if needed is not None:
            check_cap(self.options.filter, needed, context)
        return needed

    def _prompt(self, class_name: str, task: Task) -> str:
        return self.options.template.replace("{}", task.prompt_name(class_name))

    def with_prompts(self, rows: pl.DataFrame, task: Task) -> pl.DataFrame:
        """Return images with the prompt as caption, and seeds of their own."""
        options = self.options
        seeds = [int(digest([options.seed, key], 15), 16) for key in rows["key"]]
        rows = rows.with_columns(pl.Series("seed", seeds, pl.Int64))
        if options.prompt == "class":
            if (rows["class_name"] == "").any():
                raise RequestError(
                    f"nobody knows what images of the source {options.of!r} are of",
                    "take --set source.prompt=caption",
                )
            named = [self._prompt(name, task) for name in rows["class_name"]]
            return rows.with_columns(pl.Series("caption", named, pl.String))
        if rows["caption"].null_count():
            raise RequestError(
                f"images of the source {options.of!r} have no captions",
                "take --set source.prompt=class",
            )
        return rows


class _Images:
    """Images of the inner source, and what denoising made of them.

    Args:
        source: What they are images of.
        generator: What denoises them.
        context: What the source was given.
        inner: Images of the inner source, as many as are needed.
        needed: How many of them are taken first; None for all.
    """

    def __init__(
        self,
        source: Denoised,
        generator: Generator,
        context: Context,
        inner: ImageSet,
        needed: int | None,
    ) -> None:
        self._source = source
        self._generator = generator
        self._context = context
        self._last_count = 0
        self.inner = inner
        chosen = inner.select(needed, source.options.seed, "random")
        self.requested = source.with_prompts(chosen, context.task)
        self.stages = [self._denoise(self.requested)]

    def extend(self, kept: int, needed: int) -> bool:
        """Denoise more images, ever more so that it ends soon; return whether there were any."""
        taken = self.requested.height
        count = max(2 * self._last_count, -(-(needed - kept) * taken // kept))
        self._last_count = count
        if len(self.inner) < taken + count:
            self.inner = self._source.inner.collect(self._context.with_n(taken + count))
        rest = self.inner.select(None, self._source.options.seed, "random")
        rest = rest.join(self.requested, on="key", how="anti", maintain_order="left")
        if rest.is_empty():
            return False
        more = self._source.with_prompts(rest.head(count), self._context.task)
        self.requested = pl.concat([self.requested, more])
        self.stages.append(self._denoise(more))
        return True

    def _denoise(self, rows: pl.DataFrame) -> Stage:
        """Return the finished stage that denoised some images."""
        data = self._context.home.data
        rows = rows.sort("key")
        prompts = digest(rows.select("key", "caption", "sha256", "seed").to_dict(as_series=False))
        config = {"version": 3, **self._generator.config}
        stage = self._context.stage(DENOISE, config, [prompts])

        def image_of(row: dict[str, Any]) -> Image.Image:
            return read_image(data, row["shard"], row["offset"], row["size"], row["sha256"])

        self._generator.generate(stage, rows, self._context, image_of=image_of)
        return stage
