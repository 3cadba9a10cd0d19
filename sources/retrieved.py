"""Real images retrieved from the generator's own upstream pool (002, section 3).

scan → download → describe → filter by similarity with the domain → de-duplicate.
"""

from typing import Annotated, Any

import msgspec
import polars as pl

from bench.files import fingerprint
from bench.manifest import ImageSet
from bench.paths import Home
from bench.plugins import sources
from bench.types import Context
from sources._dedup import drop_duplicates
from sources._describe import describe, described_rows
from sources._download import DownloadOptions, download
from sources._pool import Pool
from sources._scan import candidates, scan


@sources.register("retrieved")
class Retrieved:
    """Pairs whose caption names a class and whose image looks like the domain."""

    class Options(DownloadOptions, frozen=True, kw_only=True):
        """Which pool, which filter."""

        pool: str
        """Name or path of a folder of Parquet files."""
        filter_model: str
        """Weights of the CLIP that scores images; may differ from the adapted one."""
        tau: Annotated[float, msgspec.Meta(ge=-1, le=1)] = 0.2
        """Images are kept above this cosine with a domain text (002, section 3)."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def pins(self, home: Home) -> dict[str, str]:
        """Return the fingerprints of the pool and of the filter's weights."""
        return {
            "pool": Pool.find(self.options.pool, home).pin,
            "filter_model": fingerprint(home.find_weights(self.options.filter_model)),
        }

    def collect(self, context: Context) -> ImageSet:
        """Return every pair that passes."""
        pool = Pool.find(self.options.pool, context.home)
        scanned = scan(pool, context.task, context)
        fetched = download(pool, scanned, self.options, context)
        described = describe(fetched, self.options.filter_model, context)
        matched = candidates(scanned)
        images = described_rows([described])
        near_domain = images.filter(pl.col("clip_score") > self.options.tau)
        kept, duplicates = drop_duplicates(near_domain, context)
        rows = kept.join(matched, on="key", how="left").with_columns(
            origin=pl.lit("retrieved"), seed=pl.lit(None, pl.Int64)
        )
        yields: dict[str, Any] = {
            **scanned.info(),
            "matched": matched.height,
            **fetched.info(),
            "decodable": images.height,
            "below tau": images.height - near_domain.height,
            "duplicates": duplicates,
            "kept": kept.height,
        }
        options = {"pool": self.options.pool, "tau": self.options.tau}
        return ImageSet.write(context.home.data, rows, context.task, "retrieved", options, yields)
