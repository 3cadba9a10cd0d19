"""Scores over the share of one source in a mixture of two, a line per number of images."""

from __future__ import annotations

from collections import Counter
from typing import Any

import matplotlib as mpl
import msgspec
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.core.errors import RequestError
from bench.core.json_values import canonical_json
from bench.core.size import format_size
from results.database import queries
from results.drawing.drawn import Drawn
from results.drawing.look import GROUND, STYLES, Style
from results.drawing.wanted import Wanted
from results.figures._frame import Frame, Line, finished, over_what, percents, shown
from results.figures._scaling_caption import selected
from results.labels import UNADAPTED
from results.wording import listed, metric_names

_DODGE = 1.5
"""Marks of the first and the last line lie so many per cent beside their share."""

_DASHED = (0, (5, 3))
_UNADAPTED = "unadapted"


def draw(wanted: Wanted) -> Drawn:
    """Draw a panel per evaluator: the pure arms at the ends, the mixtures between them.

    Raises:
        RequestError: If there is no mixture of two sources.
    """
    means = queries.scaling(wanted.connection, wanted.experiment)
    shares, (first, second) = _shares(means, wanted)
    evaluators = shown(wanted, shares["evaluator"])
    of_all = {
        evaluator: _lines(shares[shares["evaluator"] == evaluator]) for evaluator in evaluators
    }
    axes = (
        f"{first} images (%)",
        f"test {metric_names(means['metric'])} (%)",
    )
    with mpl.rc_context(wanted.look.settings()):
        frame = Frame.of(wanted, evaluators, axes, _styles(of_all, means))
        for panel, (evaluator, lines) in zip(frame.panels, of_all.items(), strict=True):
            at_none = means[(means["label"] == UNADAPTED) & (means["evaluator"] == evaluator)]
            _plot(panel, lines, at_none["mean"], frame)
    drawn = pd.concat([line for lines in of_all.values() for line in lines.values()])
    left_out = _left_out(shares, drawn)
    parts = _caption(drawn, (first, second), left_out, UNADAPTED in set(means["label"]))
    names = [*drawn["label"], *left_out, *evaluators]
    return finished(wanted, frame.figure, parts, names, frame.names.key)


def _styles(of_all: dict[str, dict[str, pd.DataFrame]], means: pd.DataFrame) -> dict[str, Style]:
    """Return the marks of each line, darker the more images it has."""
    names = list(dict.fromkeys(name for lines in of_all.values() for name in lines))
    shades = mpl.colormaps["Purples"](np.linspace(0.45, 0.85, max(len(names), 2))[-len(names) :])
    marker = STYLES["mixed"].marker
    found = {
        name: Style(mpl.colors.to_hex(shade), marker)
        for name, shade in zip(names, shades, strict=True)
    }
    return found | ({_UNADAPTED: STYLES["none"]} if UNADAPTED in set(means["label"]) else {})


def _shares(means: pd.DataFrame, wanted: Wanted) -> tuple[pd.DataFrame, tuple[str, str]]:
    """Return the rows of the mixtures of the commonest two sources, and of these, with shares."""
    mixtures = means[means["source"] == "mixed"]
    pairs = Counter(
        tuple(sorted(parts)) for parts in map(_parts, mixtures["variant"]) if len(parts) == 2
    )
    if not pairs:
        raise RequestError(
            f"{wanted.experiment.title} has no runs with a mixture of two sources",
            "run a study such as studies/mixing.yaml",
        )
    first, second = min(pairs, key=lambda pair: (-pairs[pair], pair))
    rows = []
    for row in means.to_dict("records"):
        parts = _parts(row["variant"]) if row["source"] == "mixed" else {row["source"]: 1.0}
        if set(parts) <= {first, second}:
            share = parts.get(first, 0.0) / sum(parts.values())
            rows.append({**row, "share": 100 * share})
    return pd.DataFrame(rows), (first, second)


def _parts(variant: str) -> dict[str, float]:
    parts: dict[str, float] = msgspec.json.decode(variant).get("parts", {})
    return parts


def _kind(row: dict[str, Any]) -> bytes:
    """Return what mixtures of one line share beside n."""
    options = msgspec.json.decode(row["variant"])
    options.pop("parts", None)
    return canonical_json({**options, "select_by": row["select_by"]})


def _is_end(pure: dict[str, Any], kind: bytes) -> bool:
    """Return whether a pure arm's images are made as those of the mixtures of one kind are."""
    of_part, prefix = {}, f"{pure['source']}."
    for name, value in msgspec.json.decode(kind).items():
        if name.startswith(prefix):
            of_part[name.removeprefix(prefix)] = value
        elif name in ("order", "select_by"):
            of_part[name] = value
    return canonical_json(of_part) == _kind(pure)


def _plot(
    axes: Axes, lines: dict[str, pd.DataFrame], unadapted: pd.Series[float], frame: Frame
) -> None:
    look, ends = frame.look, []
    every = pd.concat(lines.values())
    seen = [*every["test_low"], *every["test_high"], *unadapted]
    frame.show_scores(axes, [100 * score for score in seen])
    axes.set_xlim(-5, 105)
    axes.set_xticks([0, 25, 50, 75, 100])
    for value in unadapted:
        axes.axhline(100 * value, color=STYLES["none"].colour, linestyle=_DASHED)
        ends.append(Line(_UNADAPTED, 105, 100 * value))
    dodges = np.linspace(-_DODGE, _DODGE, len(lines)) if len(lines) > 1 else [0.0]
    for (name, line), dodge in zip(lines.items(), dodges, strict=True):
        (mean, around), style = percents(line), frame.styles[name]
        axes.errorbar(
            line["share"] + dodge, mean, yerr=around, color=style.colour, marker=style.marker,
            elinewidth=look.line / 2, markeredgecolor=GROUND, markeredgewidth=look.line / 3,
        )  # fmt: skip
        ends.append(Line(name, float(line["share"].iloc[-1]) + dodge, float(mean[-1])))
    frame.name_lines(axes, ends)


def _lines(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return each line's points by its name: of one n, and of mixtures that are made alike."""
    lines = {}
    mixed = rows["source"] == "mixed"
    for n in sorted(set(rows.loc[mixed, "n_used"])):
        at_n = rows[rows["n_used"] == n]
        pure = at_n[at_n["source"] != "mixed"].to_dict("records")
        kinds: dict[bytes, list[dict[str, Any]]] = {}
        for row in at_n[at_n["source"] == "mixed"].to_dict("records"):
            kinds.setdefault(_kind(row), []).append(row)
        for kind, some in kinds.items():
            name = f"n = {format_size(int(n))}"
            name += f", {some[0]['label']}" if len(kinds) > 1 else ""
            ends = [row for row in pure if _is_end(row, kind)]
            lines[name] = pd.DataFrame([*ends, *some]).sort_values("share")
    return lines


def _left_out(shares: pd.DataFrame, drawn: pd.DataFrame) -> list[str]:
    """Return the pure arms at the mixtures' sizes of which no line has a point."""
    there = shares[shares["n_used"].isin(drawn["n_used"])]
    return sorted(set(there["label"]) - set(drawn["label"]))


def _caption(
    drawn: pd.DataFrame, pair: tuple[str, str], left_out: list[str], unadapted: bool
) -> list[str]:
    first, second = pair
    evaluators = list(dict.fromkeys(drawn["evaluator"]))
    return [
        f"test scores of {listed(evaluators)} over the share of {first} images in a mixture with "
        f"{second} ones, at the same number of images in all",
        f"bars: 95 % intervals over {over_what(drawn)}; marks of one share stand side by side",
        selected(drawn),
        *(
            [
                f"at the ends, {listed(left_out)} are left out: no mixture is made and selected as "
                "they are"
            ]
            if left_out
            else []
        ),
        *(["dashed: the unadapted model"] if unadapted else []),
    ]
