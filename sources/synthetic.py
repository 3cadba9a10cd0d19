"""Images generated for the task by a model trained on the upstream pool (002, section 3).

captions → generate → embed → score, filter and de-duplicate, in blocks of a fixed size: a larger
n adds blocks and changes none.
"""

import os
from collections.abc import Sequence

import msgspec
import polars as pl

from bench.core.config import Config, Positive
from bench.core.errors import BenchError, RequestError
from bench.core.files import fingerprint
from bench.core.json_values import Json, digest
from bench.core.paths import Home
from bench.plugins import sources, writer_of
from bench.plugins.source import Context
from bench.storage.image_set import ImageSet
from bench.storage.stage import Stage, UnfinishedError
from sources.captions.generate import captions
from sources.captions.options import CaptionOptions
from sources.captions.phrase_lists import read_phrases
from sources.captions.table import caption_rows, caption_yields
from sources.generation.checkpoint import check_generator
from sources.generation.cost import Workload, estimate
from sources.generation.fidelity import fidelity
from sources.generation.generate import Generator, image_rows
from sources.generation.options import GeneratorOptions
from sources.screening.embed import embed
from sources.screening.rules import OptionalRule
from sources.screening.screen import check_cap, screen, write_evidence, yields_of


@sources.register("synthetic")
class Synthetic:
    """Images of written captions."""

    class Options(Config, frozen=True, kw_only=True):
        """Which captions, which generator, how many images, and which are kept."""

        captions: CaptionOptions = CaptionOptions()
        generation: GeneratorOptions
        filter: OptionalRule
        images_per_caption: Positive = 1
        """Images of each caption: 1 in 002, 4 in SynCLR (001, section 3.2)."""
        size: Positive | None = None
        """Images to generate; None for the n of the run. A study sets its largest n, so that all
        its runs take their subsets from one set, as the retrieved arm does."""
        seed: int = 0
        """Seed of captions and images; not the run's seed, which picks the subset."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.writer = writer_of(options.captions.writer, options.captions.options)

    @property
    def job_stages(self) -> tuple[tuple[str, ...], ...]:
        """Names of the stages that take long."""
        return (("load", "drafts", "captions"), ("generate",), ("embed",))

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return fingerprints of the captions' origin, the generator and the scoring weights."""
        told = [self.writer.config(home), read_phrases(self.options.captions.phrases)]
        filter_model = home.find_weights(self.options.filter.model)
        return {
            "captions": digest(told),
            "generator": fingerprint(check_generator(self.options.generation, home)),
            "filter_model": fingerprint(filter_model),
        }

    def estimate(self, context: Context) -> Json:
        """Return images, forwards, hours and bytes, from the measured speed of a few batches."""
        task, options = context.task, self.options
        captions_needed = self._blocks(self._needed(context)) * options.captions.block_size
        prompts = [prompt for name in task.class_names for prompt in task.prompts(name)]
        work = Workload(
            captions_needed * options.images_per_caption, options.generation.steps, prompts
        )
        generator = Generator(options.generation, context.home)
        return estimate(generator, options.generation, work)

    def collect(self, context: Context) -> ImageSet:
        """Return as many images as the run or the study needs.

        Raises:
            RequestError: If it is not said how many, or the generator does not load.
            BenchError: If the generator's images are no good, or copies of each other.
        """
        options = self.options
        needed = self._needed(context)
        generator = Generator(options.generation, context.home)
        generator.try_out(context)
        blocks = self._blocks(needed)
        kept = pl.DataFrame()
        written: list[Stage] = []
        drawn: list[Stage] = []
        embedded: list[Stage] = []
        while True:
            while len(written) < blocks:
                written.append(
                    captions(options.captions, options.seed, self.writer, context, written)
                )
            stages = self._draw(written[len(drawn) :], generator, context)
            drawn += stages
            embedded += [embed(stage, options.filter.model, context) for stage in stages]
            asked = self._rows(pl.concat(map(caption_rows, written)))
            screened = screen(embedded, options.filter, context, asked.select("key", "label"))
            before, kept = kept, screened.unique.rows
            if kept.height >= needed:
                break
            if kept.height <= before.height:
                raise BenchError(
                    f"{kept.height} images are left of {asked.height}, and more add none",
                    "ask for fewer, or look at source.filter.cap",
                )
            # As many more as would do, if as many of them were kept.
            blocks += -(-(needed - kept.height) * blocks // kept.height)
        rows = kept.drop("label").join(asked, on="key", how="left", maintain_order="left")
        rows = rows.with_columns(origin=pl.lit("synthetic"), url=pl.lit(None, pl.String))
        counts: Json = {
            **yields_of(asked, drawn, screened, context),
            "captions": {"writer": options.captions.writer, **caption_yields(written)},
            "fidelity": fidelity(generator.folder, options.generation),
        }
        summary = {
            "generation": options.generation.summary,
            "filter": msgspec.to_builtins(options.filter),
        }
        made = ImageSet.write(context.home.data, rows, context.task, "synthetic", summary, counts)
        write_evidence(made, screened, options.filter, context)
        return made

    def _needed(self, context: Context) -> int:
        if context.n is None and self.options.size is None:
            raise RequestError(
                "a generator has no end, so --n all means nothing to it",
                "give a number, or --set source.size=NUMBER",
            )
        needed = max(context.n or 0, self.options.size or 0)
        check_cap(self.options.filter, needed, context)
        return needed

    def _blocks(self, images: int) -> int:
        """Return the least number of blocks that may hold so many images."""
        return max(
            1, -(-images // (self.options.captions.block_size * self.options.images_per_caption))
        )

    def _rows(self, captioned: pl.DataFrame) -> pl.DataFrame:
        per_caption = self.options.images_per_caption
        # With one image each, a caption that was written twice by chance is two.
        shared = self.writer.fixed or per_caption > 1
        return image_rows(captioned, per_caption, shared=shared)

    def _draw(
        self, written: Sequence[Stage], generator: Generator, context: Context
    ) -> list[Stage]:
        """Return the finished stages that drew the images of some blocks."""
        config = generator.config | {"images_per_caption": self.options.images_per_caption}
        rows = [self._rows(caption_rows(block)) for block in written]
        stages = [context.stage("generate", config, [one.output]) for one in written]
        # First whatever nobody is at, each worker from a block of its own; then wait for the rest.
        unfinished = _rotated(range(len(stages)), os.getpid())
        for wait in (False, True):
            unfinished = [
                place
                for place in unfinished
                if not _finished(generator, stages[place], rows[place], context, wait=wait)
            ]
        if unfinished:
            raise UnfinishedError(
                f"{stages[unfinished[0]].key} and {len(unfinished) - 1} other stages: some shards "
                "are still to be made",
                "generate",
            )
        return stages


def _rotated(places: Sequence[int], by: int) -> list[int]:
    start = by % max(1, len(places))
    return [*places[start:], *places[:start]]


def _finished(
    generator: Generator, stage: Stage, rows: pl.DataFrame, context: Context, *, wait: bool
) -> bool:
    """Draw what is missing of a stage; return whether nothing is."""
    try:
        generator.draw(stage, rows, context, wait=wait)
    except UnfinishedError:
        return False
    return True
