"""Images of another source, noised and denoised by a generator: the authors' later ablation.

images → noise of a given strength → denoise with a prompt → embed → score, filter and
de-duplicate. What the generator changes is all that sets them apart from the images they began as.
"""

from typing import Annotated, Any, Literal

import msgspec
import polars as pl
from PIL import Image

from bench.core.config import Config, Positive
from bench.core.errors import RequestError
from bench.core.files import fingerprint
from bench.core.json_values import Json, digest
from bench.core.paths import Home
from bench.plugins import source_of, sources
from bench.plugins.optional import SupportsEstimate
from bench.plugins.source import Context
from bench.storage.image_set import ImageSet, read_image
from bench.storage.stage import Stage
from sources.generation.checkpoint import check_generator
from sources.generation.cost import Workload, estimate
from sources.generation.generate import Generator
from sources.generation.options import GeneratorOptions
from sources.screening.embed import embed
from sources.screening.rules import OptionalRule
from sources.screening.screen import (
    Screened,
    check_cap,
    screen,
    write_evidence,
    yields_of,
)


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
        the steps are done (the authors' code: img2img_noise_denoise.py, 0.1)."""
        prompt: Literal["class", "caption"] = "class"
        """What the generator is told: the template with the class name, or the image's caption."""
        template: str = "{}"
        """Has one ``{}`` for the class name (the authors' code: the name alone)."""
        generation: GeneratorOptions
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

    @property
    def job_stages(self) -> tuple[tuple[str, ...], ...]:
        """Names of the stages that take long."""
        return (("denoise",),)

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return the fingerprints of generator and scoring weights, and the inner source's."""
        inner = {
            f"{self.options.of}.{key}": pin for key, pin in self.inner.fingerprints(home).items()
        }
        filter_model = home.find_weights(self.options.filter.model)
        return {
            "generator": fingerprint(check_generator(self.options.generation, home)),
            "filter_model": fingerprint(filter_model),
            **inner,
        }

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
        prompts = [self._named(name) for name in context.task.class_names]
        height = options.generation.height
        grey = Image.new("RGB", (height, height), "grey")
        work = Workload(images, options.generation.steps, prompts, grey, options.strength)
        told = estimate(self._generator(context), options.generation, work)
        if isinstance(self.inner, SupportsEstimate):
            told[options.of] = self.inner.estimate(context.with_n(images))
        return told

    def collect(self, context: Context) -> ImageSet:
        """Return as many denoised images as are needed, or all that are no copies.

        Raises:
            RequestError: If ``size`` is less than the run asks for, or captions are to be the
                prompts and images have none.
            BenchError: As the inner source, or if the images are no good.
        """
        options, data = self.options, context.home.data
        needed = self._needed(context)
        generator = self._generator(context)
        generator.try_out(context)
        found, taken, drawn, screened = self._enough(needed, generator, context)
        facts = taken.select("key", "label", "class_name", "caption", "caption_id", "url", "seed")
        rows = screened.unique.rows.drop("label").join(
            facts, on="key", how="left", maintain_order="left"
        )
        counts = {
            **yields_of(taken, drawn, screened, context),
            options.of: found.manifest.stage_counts,
        }
        summary = {name: getattr(options, name) for name in ("of", "strength", "prompt")}
        summary["generation"] = options.generation.summary
        summary["filter"] = msgspec.to_builtins(options.filter)
        rows = rows.with_columns(origin=pl.lit("denoised"))
        made = ImageSet.write(data, rows, context.task, "denoised", summary, counts)
        write_evidence(made, screened, options.filter, context)
        return made

    def _enough(
        self, needed: int | None, generator: Generator, context: Context
    ) -> tuple[ImageSet, pl.DataFrame, list[Stage], Screened]:
        """Denoise images until so many are kept, or there are no more.

        Returns:
            The inner source's images, those of them that were taken, the stages that denoised them,
            and what screening left.
        """
        found = self.inner.collect(context.with_n(needed))
        seed, more = self.options.seed, 0
        new = self._prompted(found.select(needed, seed, "random"))
        taken, drawn = new, [self._draw(new, generator, context)]
        screened = self._screen(drawn, taken, context)
        while needed and (missing := needed - screened.unique.rows.height) > 0:
            # As many more as would do, if as many of them were kept; and ever more, so that it ends
            # soon.
            kept = screened.unique.rows.height
            more = max(2 * more, -(-missing * taken.height // kept))
            if len(found) < taken.height + more:
                found = self.inner.collect(context.with_n(taken.height + more))
            rest = found.select(None, seed, "random")
            rest = rest.join(taken, on="key", how="anti", maintain_order="left")
            if rest.is_empty():
                break
            new = self._prompted(rest.head(more))
            taken, drawn = pl.concat([taken, new]), [*drawn, self._draw(new, generator, context)]
            screened = self._screen(drawn, taken, context)
        return found, taken, drawn, screened

    def _generator(self, context: Context) -> Generator:
        return Generator(self.options.generation, context.home, self.options.strength)

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

    def _draw(self, rows: pl.DataFrame, generator: Generator, context: Context) -> Stage:
        """Return the finished stage that denoised some images."""
        data = context.home.data
        rows = rows.sort("key")
        prompts = digest(rows.select("key", "caption", "sha256", "seed").to_dict(as_series=False))
        stage = context.stage("denoise", generator.config, [prompts])

        def image_of(row: dict[str, Any]) -> Image.Image:
            return read_image(data, row["shard"], row["offset"], row["size"], row["sha256"])

        generator.draw(stage, rows, context, image_of=image_of)
        return stage

    def _screen(self, drawn: list[Stage], taken: pl.DataFrame, context: Context) -> Screened:
        embedded = [embed(stage, self.options.filter.model, context) for stage in drawn]
        return screen(embedded, self.options.filter, context, taken.select("key", "label"))

    def _named(self, class_name: str) -> str:
        return self.options.template.replace("{}", class_name)

    def _prompted(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return images with the prompt as caption, and seeds of their own."""
        options = self.options
        seeds = [int(digest([options.seed, key], 15), 16) for key in rows["key"]]
        rows = rows.with_columns(pl.Series("seed", seeds, pl.Int64))
        if options.prompt == "class":
            named = [self._named(name) for name in rows["class_name"]]
            return rows.with_columns(pl.Series("caption", named, pl.String))
        if rows["caption"].null_count():
            raise RequestError(
                f"images of the source {options.of!r} have no captions",
                "take --set source.prompt=class",
            )
        return rows
