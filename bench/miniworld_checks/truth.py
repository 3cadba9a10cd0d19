"""Measure retrieval by every matcher and threshold, by the truth about the pool."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import matplotlib as mpl
import polars as pl
from matplotlib.figure import Figure

from bench.core.files import write_atomic
from bench.core.paths import Home
from bench.core.progress import Progress
from bench.miniworld.truth import retrieval_curve
from bench.miniworld_checks.page import table
from bench.miniworld_checks.plots import save_png
from bench.miniworld_checks.pool import TAUS
from bench.miniworld_checks.processes import map_in_processes
from bench.planning import preset
from bench.steps.collect import collect_images
from bench.storage.image_set import ImageSet
from results.drawing.look import LOOKS
from sources.pool.matcher import Matcher
from sources.pool.pool import MINIWORLD, Pool
from sources.screening.dedup import REMOVED

MATCHERS: tuple[Matcher, ...] = get_args(Matcher)
SHOWN = (-1.0, 0.2, 0.25, 0.3, 0.35, 0.4)
"""Thresholds of the tables; the first keeps everything."""
# Okabe and Ito's, as in the scaling plots; the dashes serve black-and-white print.
STYLES: dict[str, dict[str, Any]] = {
    "substring": {"color": "#0072B2", "linestyle": "-"},
    "word": {"color": "#D55E00", "linestyle": (0, (5, 2))},
    "phrase": {"color": "#009E73", "linestyle": (0, (1, 1.2))},
    "all-words": {"color": "#CC79A7", "linestyle": (0, (5, 1.5, 1, 1.5))},
}


def retrieval_truth(domains: Sequence[str], home: Home) -> pl.DataFrame:
    """Retrieve for domains by every matcher, and measure it.

    Returns:
        The rows of `retrieval_curve` at every threshold, with ``domain`` and ``matcher``, and the
        counts of the preset's own threshold in ``counts`` (JSON).
    """
    Pool.find(MINIWORLD, home).files()  # Once, not in every process.
    return pl.concat(map_in_processes(_domain_truth, [(domain, home.root) for domain in domains]))


def _domain_truth(arguments: tuple[str, Path]) -> pl.DataFrame:
    domain, root = arguments
    home, progress = Home(root), Progress()
    world = Pool.find(MINIWORLD, home).root
    taus = sorted({*TAUS, *SHOWN, _tau()})
    curves = []
    for matcher in MATCHERS:
        everything = _retrieved(domain, matcher, TAUS[0], home, progress)
        counts = _retrieved(domain, matcher, _tau(), home, progress).manifest.stage_counts
        curve = retrieval_curve(everything.index(), domain, world, taus)
        names = pl.lit(domain).alias("domain"), pl.lit(matcher).alias("matcher")
        curves.append(curve.select(*names, pl.all(), counts=pl.lit(_steps(counts))))
    return pl.concat(curves)


def truth_page(rows: pl.DataFrame) -> str:
    """Return the tables in Markdown: the counts of every step, and precision and recall."""
    steps = rows.unique(["domain", "matcher"], maintain_order=True)
    header = ("task", "matcher", *steps["counts"].struct.fields)
    judged = ("images", "right domain", "right class", "recall")
    parts = [
        f"Images left by each step, at the preset's tau of {_tau():g}:",
        table(header, _counts(steps)),
        "Precision and recall by matcher and tau:",
        table(("task", "matcher", "tau", *judged), _scores(rows)),
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def truth_figure(rows: pl.DataFrame, folder: Path) -> Path:
    """Plot the share of right labels over recall, and write ``retrieval.png``."""
    domains = rows["domain"].unique(maintain_order=True)
    with mpl.rc_context(LOOKS["report"].settings()):
        figure = Figure(figsize=(3.5 * len(domains), 3.4), layout="constrained")
        figure.suptitle("Retrieval by matcher, at every threshold τ", fontsize=12, weight="bold")
        panels = figure.subplots(1, len(domains), sharey=True, squeeze=False)[0]
        for axes, domain in zip(panels, domains, strict=True):
            for matcher, style in STYLES.items():
                curve = rows.filter(domain=domain, matcher=matcher).filter(pl.col("kept") > 0)
                points = 100 * curve["recall"], 100 * curve["class_precision"]
                axes.plot(*points, **style, lw=1.6, label=matcher)
            axes.set(title=domain, xlabel="recall (%)")
        panels[0].set_ylabel("right class (%)")
        panels[0].legend(fontsize=8)
        return save_png(figure, folder / "retrieval.png")


def write_truth(rows: pl.DataFrame, folder: Path) -> None:
    """Write ``retrieval.md`` and ``retrieval.png`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    page = f"# What retrieval finds in the miniature world\n\n{truth_page(rows)}"
    write_atomic(folder / "retrieval.md", page.encode())
    truth_figure(rows, folder)


def _tau() -> float:
    return float(preset.load("mini").sources["retrieved"]["filter"]["tau"])


def _retrieved(
    domain: str, matcher: Matcher, tau: float, home: Home, progress: Progress
) -> ImageSet:
    settings = {"source.matcher": matcher, "source.filter.tau": tau}
    spec = preset.resolve("mini", task=domain, source="retrieved", n=None, settings=settings)
    return collect_images(spec, home, progress)


def _steps(counts: dict[str, Any]) -> dict[str, int]:
    return {
        "pairs": counts["rows"],
        "named": counts["naming a class"],
        "unclear": counts["ambiguous, dropped"],
        "flagged": counts["flagged NSFW or UNSURE"],
        "matched": counts["matched"],
        "fetched": counts["fetched"],
        "decodable": counts["decodable"],
        "above tau": counts["decodable"] - counts["below tau"],
        "copies": sum(counts["duplicates"][reason] for reason in REMOVED),
        "kept": counts["kept"],
    }


def _counts(steps: pl.DataFrame) -> Iterator[tuple[str, ...]]:
    for domain, matcher, counts in steps.select("domain", "matcher", "counts").iter_rows():
        yield domain, matcher, *(f"{count:,}" for count in counts.values())


def _scores(rows: pl.DataFrame) -> Iterable[tuple[str, ...]]:
    columns = ("domain_precision", "class_precision", "recall")
    for row in rows.filter(pl.col("tau").is_in([*SHOWN, _tau()])).iter_rows(named=True):
        tau = "none" if row["tau"] == TAUS[0] else f"{row['tau']:g}"
        shares = (f"{row[share]:.1%}" for share in columns)
        yield row["domain"], row["matcher"], tau, f"{row['kept']:,}", *shares
