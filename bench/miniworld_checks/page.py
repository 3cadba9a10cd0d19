"""The gates as a table, and a page with all figures behind it."""

from collections.abc import Iterable, Iterator, Sequence

from bench.miniworld_checks.gates import EVALUATORS, Measurements, Verdict

HEADER = ("gate", "figure", "wanted", "verdict")
CLIPS = {
    "shipped": "shipped",
    "clean": "clean renders",
    "control": "random pairs",
    "control_large": "random pairs, CLIP's own batch",
}
APPEARANCE = {
    "fine_detail": "fine detail, rebuilt",
    "fine_detail_generated": "fine detail, generated",
    "cosine": "cosine of rebuilt and real",
    "zero_shot_real": "zero-shot accuracy, real",
    "zero_shot_rebuilt": "zero-shot accuracy, rebuilt",
}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns line up, so that it can be read as plain text."""
    cells = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, tuple("-" * width for width in widths))
    lines = (
        " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def gate_table(verdicts: Iterable[Verdict]) -> str:
    """Return one row per gate."""
    return table(HEADER, (verdict.row for verdict in verdicts))


def page(figures: Measurements, verdicts: Sequence[Verdict]) -> str:
    """Return the page in Markdown: the gates, their reasons, and the figures without a gate."""
    domains = figures["domains"]
    reasons = (f"- *{verdict.gate.name}*. {verdict.gate.reason}" for verdict in verdicts)
    parts = [
        "# The gates of the miniature world",
        gate_table(verdicts),
        "## Why",
        "\n".join(reasons),
        "## What the oracle reads",
        table(("images", *domains), _readings(domains)),
        "The gap is how much the UNet's error grows with a wrong class, with the "
        "standard error over validation images.",
        "## How images look",
        "Power of fine detail (the upper octave of spatial frequency) over that of real test "
        "images; and what the CLIP that is adapted makes of test images that were encoded and "
        "decoded.",
        table(("figure", *domains), _looks(domains)),
        "## CLIP's accuracy on validation data, and after more training",
        "As long as the longest fine-tuning of studies/mini-full.yaml: on clean renders of the "
        "task's classes, which is the most that any source could bring; on random pairs of the "
        "pool, as many; and on random pairs with the batch of CLIP's own training, which is "
        "several times as many.",
        table(("domain", "evaluator", *CLIPS.values()), _clips(domains)),
        "## Distance to the nearest pool image, root mean square of 255",
        table(("domain", "images", "least", "5 % quantile", "median"), _distances(domains)),
        "## Structure that images keep",
        "Share of images read as a class that has the value of the class asked for; chance is a "
        "reader who guesses.",
        table(("domain", "attribute", "real", "generated", "lost", "chance"), _kept(domains)),
        "## Speed",
        f"{figures['world']['speed']['images_per_second']:.1f} images generated per second with "
        "the preset's sampler, on the machine that measured all this, beside other work.",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _readings(domains: Measurements) -> Iterator[tuple[str, ...]]:
    for kind in ("real", "rebuilt", "rebuilt_refitted", "generated", "wrong_caption"):
        shares = (f"{one['fidelity'][kind]['accuracy']:.1%}" for one in domains.values())
        yield kind.replace("_", " "), *shares
    gaps = (one["fidelity"]["conditioning_gap"] for one in domains.values())
    yield "conditioning gap", *(f"{one['gap']:.4f} ± {one['standard_error']:.4f}" for one in gaps)


def _looks(domains: Measurements) -> Iterator[tuple[str, ...]]:
    for figure, title in APPEARANCE.items():
        values = (one["fidelity"]["appearance"][figure] for one in domains.values())
        yield title, *(f"{value:.3f}" for value in values)


def _clips(domains: Measurements) -> Iterator[tuple[str, ...]]:
    for name, one in domains.items():
        for evaluator in EVALUATORS:
            scores = (f"{one['clip'][which][evaluator]:.1%}" for which in CLIPS)
            yield name, evaluator, *scores


def _distances(domains: Measurements) -> Iterator[tuple[str, ...]]:
    for name, one in domains.items():
        for kind in ("generated", "real"):
            distances = one["memorisation"][kind]
            yield name, kind, *(f"{distances[key]:.1f}" for key in ("least", "q05", "median"))


def _kept(domains: Measurements) -> Iterator[tuple[str, ...]]:
    for name, one in domains.items():
        for row in one["attributes"]:
            lost = 100 * (row["real"] - row["generated"])
            shares = (f"{row[key]:.1%}" for key in ("real", "generated"))
            attribute = row["attribute"].replace("_", " ")
            yield name, attribute, *shares, f"{lost:.1f} points", f"{row['chance']:.1%}"
