"""Images generated for the task by a model trained on the upstream pool (Geng 2024, section 3).

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
from bench.core.missing import together
from bench.core.paths import Home
from bench.core.stage_names import CAPTIONS, DRAFTS, EMBED, GENERATE, LOAD
from bench.core.task import Task
from bench.plugins import sources, writer_of
from bench.plugins.optional import HasPairs
from bench.plugins.source import Context
from bench.storage.image_codec import ImageFormat
from bench.storage.image_set import ImageSet
from bench.storage.stage import Stage, UnfinishedError
from sources.captions.check import CaptionCheck
from sources.captions.generate import captions
from sources.captions.options import CaptionOptions
from sources.captions.planned import check_read, may_have_others, planned, read_lists
from sources.captions.table import caption_counts, caption_rows
from sources.generation.checkpoint import check_generator
from sources.generation.cost import Workload, estimate
from sources.generation.fidelity import fidelity
from sources.generation.generate import Generator, image_rows
from sources.generation.options import GeneratorOptions
from sources.screening.rules import OptionalRule, check_others
from sources.screening.screen import check_cap, collect_until, counts_of, write_audit


@sources.register("synthetic")
class Synthetic:
    """Images of written captions."""

    class Options(Config, frozen=True, kw_only=True):
        """Which captions, which generator, how many images, and which are kept."""

        captions: CaptionOptions = CaptionOptions()
        generation: GeneratorOptions
        images: ImageFormat = ImageFormat()
        filter: OptionalRule
        images_per_caption: Positive = 1
        """Images of each caption: 1 in Geng 2024, 4 in SynCLR (Tian 2023, section 3.2)."""
        size: Positive | None = None
        """Images to generate; None for the n of the run. A study sets its largest n, so that all
        its runs take their subsets from one set, as the retrieved arm does."""
        seed: int = 0
        """Seed of captions and images; not the run's seed, which picks the subset."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.images = options.images
        self.writer = writer_of(options.captions.writer, options.captions.options)
        check_read(options.captions, self.writer)

    def check(self, task: Task) -> None:
        """Check that captions can be about what they are to be about, and scored by the filter.

        Raises:
            RequestError: If they cannot.
        """
        CaptionCheck(task, planned(self.options.captions, self.writer, task).concepts)
        if self.others(task):
            check_others(self.options.filter)

    def others(self, task: Task) -> bool:
        """Return whether captions may be about something that is no class of the task."""
        return may_have_others(self.options.captions, self.writer, task)

    @property
    def paired(self) -> bool:
        """Whether captions come from templates that are filled in with every class."""
        return isinstance(self.writer, HasPairs) and self.writer.paired

    @property
    def job_stages(self) -> tuple[tuple[str, ...], ...]:
        """Names of the stages that take long."""
        return ((LOAD, DRAFTS, CAPTIONS), (GENERATE,), (EMBED,))

    def most_shards(self, stage: str, context: Context) -> int:
        """Return how many shards of a stage there are to make side by side."""
        options = self.options
        if stage == CAPTIONS:  # A block's captions come after those of the block before.
            return -(-options.captions.block_size // options.captions.shard_size)
        images = options.captions.block_size * options.images_per_caption
        shards = -(-images // options.generation.shard_size)
        return shards * self._blocks(self._needed(context))

    def fingerprints(self, home: Home) -> dict[str, str]:
        """Return fingerprints of the captions' origin, the generator and the scoring weights."""
        options = self.options
        return together(
            {
                "captions": lambda: digest(
                    [self.writer.config(home), *read_lists(options.captions)]
                ),
                "generator": lambda: fingerprint(check_generator(options.generation, home)),
                "filter_model": lambda: fingerprint(home.find_clip(options.filter.model)),
            }
        )

    def estimate(self, context: Context) -> Json:
        """Return images, forwards, hours and bytes, from the measured speed of a few batches."""
        task, options = context.task, self.options
        captions_needed = self._blocks(self._needed(context)) * options.captions.block_size
        prompts = [prompt for name in task.class_names for prompt in task.prompts(name)]
        work = Workload(
            captions_needed * options.images_per_caption, options.generation.steps, prompts
        )
        generator = Generator(options.generation, self.images, context.home)
        return estimate(generator, options.generation, work)

    def collect(self, context: Context) -> ImageSet:
        """Return as many images as the run or the study needs.

        Raises:
            RequestError: If it is not said how many, or the generator does not load.
            BenchError: If no image is fit to be kept, or most are copies of each other.
        """
        options, needed = self.options, self._needed(context)
        generator = Generator(options.generation, self.images, context.home)
        generator.try_out(context)
        blocks = _Blocks(self, generator, context, self._blocks(needed))
        screened = collect_until(needed, blocks, options.filter, context)
        rows = screened.unique.rows.drop("label").join(
            blocks.requested, on="key", how="left", maintain_order="left"
        )
        rows = rows.with_columns(origin=pl.lit("synthetic"), url=pl.lit(None, pl.String))
        counts: Json = {
            **counts_of(blocks, screened, context),
            "captions": {"writer": options.captions.writer, **caption_counts(blocks.captions)},
            "fidelity": fidelity(generator.folder, options.generation),
        }
        summary = {
            "generation": options.generation.summary,
            "filter": msgspec.to_builtins(options.filter),
        }
        images = ImageSet.write(context.home.data, rows, context.task, "synthetic", summary, counts)
        write_audit(images, screened, options.filter, context)
        return images

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


class _Blocks:
    """Blocks of captions, and the images of each.

    Args:
        source: What they are blocks of.
        generator: What generates the images.
        context: What the source was given.
        count: Blocks to begin with.

    Attributes:
        captions: The finished captions of each block.
        requested: Caption, key, label and seed of every image that was to be generated.
        stages: The finished stages that generated them.
    """

    def __init__(
        self, source: Synthetic, generator: Generator, context: Context, count: int
    ) -> None:
        self._options = source.options
        self._writer = source.writer
        self._generator = generator
        self._context = context
        self.captions: list[Stage] = []
        self.requested = pl.DataFrame()
        self.stages: list[Stage] = []
        self._kept_before = 0
        self._add(count)

    def extend(self, kept: int, needed: int) -> bool:
        """Add blocks; there are always more.

        Raises:
            BenchError: If the last ones added nothing to what is kept.
        """
        if kept <= self._kept_before:
            raise BenchError(
                f"{kept} images are left of {self.requested.height}, and more add none",
                "ask for fewer, or look at source.filter",
            )
        self._kept_before = kept
        self._add(-(-(needed - kept) * len(self.captions) // kept))
        return True

    def _add(self, count: int) -> None:
        options = self._options
        for _ in range(count):
            block = captions(
                options.captions, options.seed, self._writer, self._context, self.captions
            )
            self.captions.append(block)
        self.stages += self._generate(self.captions[-count:])
        self.requested = self._rows(pl.concat(map(caption_rows, self.captions)))

    def _rows(self, captioned: pl.DataFrame) -> pl.DataFrame:
        per_caption = self._options.images_per_caption
        # With one image each, a caption that was written twice by chance is two.
        shared = self._writer.fixed or per_caption > 1
        return image_rows(captioned, per_caption, shared=shared)

    def _generate(self, blocks: Sequence[Stage]) -> list[Stage]:
        """Return the finished stages of the images of some blocks."""
        config = self._generator.config
        config = config | {"images_per_caption": self._options.images_per_caption}
        rows = [self._rows(caption_rows(block)) for block in blocks]
        stages = [self._context.stage(GENERATE, config, [block.output]) for block in blocks]
        # First shards that nobody works on, each worker from a block of its own; then the others'.
        unfinished = _rotated(range(len(stages)), os.getpid())
        for wait in (False, True):
            unfinished = [
                place
                for place in unfinished
                if not self._finish(stages[place], rows[place], wait=wait)
            ]
        if unfinished:
            raise UnfinishedError(
                f"{stages[unfinished[0]].key} and {len(unfinished) - 1} other stages: some shards "
                "are still to be made",
                GENERATE,
            )
        return stages

    def _finish(self, stage: Stage, rows: pl.DataFrame, *, wait: bool) -> bool:
        """Generate what is missing of a stage; return whether nothing is."""
        try:
            self._generator.generate(stage, rows, self._context, wait=wait)
        except UnfinishedError:
            return False
        return True


def _rotated(places: Sequence[int], by: int) -> list[int]:
    start = by % max(1, len(places))
    return [*places[start:], *places[:start]]
