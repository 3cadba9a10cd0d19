"""Images generated for the task by a model trained on the upstream pool (002, section 3).

captions → generate → describe → de-duplicate, in blocks of a fixed size: a larger n adds blocks
and changes none.
"""

import msgspec
import polars as pl

from bench.errors import BenchError, RequestError
from bench.files import fingerprint
from bench.manifest import ImageSet
from bench.paths import Home
from bench.plugins import sources, writer_of
from bench.stage import Stage
from bench.types import Context, Json, Positive, digest
from sources._caption_options import CaptionOptions
from sources._captions import caption_rows, caption_yields
from sources._dedup import drop_duplicates
from sources._describe import describe
from sources._evidence import write_removed
from sources._filter import domain_scored
from sources._generate import generate
from sources._phrases import read_phrases
from sources._write_captions import captions


@sources.register("synthetic")
class Synthetic:
    """One image per written caption."""

    class Options(CaptionOptions, frozen=True, kw_only=True):
        """Which captions, which generator, how many images."""

        filter_model: str
        """Weights of the CLIP that scores the images."""
        size: Positive | None = None
        """Images to generate; None for the n of the run. A study sets its largest n, so that all
        its runs draw their subsets from one set, as the retrieved arm does."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.writer = writer_of(options.writer, options.writing)

    def pins(self, home: Home) -> dict[str, str]:
        """Return fingerprints of the captions' origin, the generator and the scoring weights."""
        told = [self.writer.config(home), read_phrases(self.options.phrases)]
        return {"captions": digest(told)} | {
            name: fingerprint(home.find_weights(getattr(self.options, name)))
            for name in ("generator", "filter_model")
        }

    def collect(self, context: Context) -> ImageSet:
        """Return as many images as the run or the study needs."""
        options = self.options
        if context.n is None and options.size is None:
            raise RequestError(
                "a generator has no end, so --n all means nothing to it",
                "give a number, or --set source.size=NUMBER",
            )
        needed = max(context.n or 0, options.size or 0)
        written: list[Stage] = []
        described: list[Stage] = []
        while True:
            captioned = captions(options, self.writer, context, written)
            drawn = generate(captioned, options, context)
            written.append(captioned)
            described.append(describe(drawn, options.filter_model, context))
            images = domain_scored(described, options.filter_model, context)
            unique = drop_duplicates(images, context)
            kept = unique.rows
            if kept.height >= needed:
                break
            if kept.height < images.height / 2:
                raise BenchError(
                    f"most generated images are copies: {unique.yields}",
                    "the generator's images hardly differ; look at them",
                )
        texts = pl.concat(caption_rows(stage) for stage in written)
        rows = kept.join(texts, on="key", how="left", maintain_order="left").with_columns(
            origin=pl.lit("synthetic"), url=pl.lit(None, pl.String)
        )
        yields: Json = {
            "matched": texts.height,
            "captions": {"writer": options.writer, **caption_yields(written)},
            "fetched": images.height,
            "duplicates": unique.yields,
            "kept": kept.height,
            "fidelity": _fidelity(options.generator, context.home),
        }
        described_by = {"generator": options.generator, "steps": options.steps}
        described_by |= {"guidance": options.guidance}
        made = ImageSet.write(
            context.home.data, rows, context.task, "synthetic", described_by, yields
        )
        write_removed(made, images, unique.removed, context)
        return made


def _fidelity(generator: str, home: Home) -> Json:
    """Return the fidelity that was measured for a generator, where it ships with one."""
    path = home.find_weights(generator).with_name("fidelity.json")
    return dict(msgspec.json.decode(path.read_bytes(), type=Json)) if path.is_file() else {}
