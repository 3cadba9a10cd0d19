"""A figure with its caption, and the files that it becomes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.core.files import write_atomic
from results.drawing.look import Look

FORMATS = ("svg", "pdf", "png")

_DPI = 300
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}, "png": {}}


@dataclass(frozen=True)
class Drawn:
    """A figure.

    Attributes:
        figure: What matplotlib drew.
        caption: What stands below it: what is shown, over how many seeds, what intervals are of,
            and where the numbers came from. Plain text.
        look: What it was drawn for.
    """

    figure: Figure
    caption: str
    look: Look

    def bytes_as(self, format_: str) -> bytes:
        """Return the figure as one of `FORMATS`; the same twice."""
        content = io.BytesIO()
        with mpl.rc_context(self.look.settings()):
            self.figure.savefig(content, format=format_, dpi=_DPI, metadata=_UNDATED[format_])
        return content.getvalue()

    def save(self, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
        """Write the figure in some formats, and its caption beside it; return the paths."""
        paths = []
        for format_ in formats:
            paths.append(stem.with_name(f"{stem.name}.{format_}"))
            write_atomic(paths[-1], self.bytes_as(format_))
        paths.append(stem.with_name(f"{stem.name}.txt"))
        write_atomic(paths[-1], f"{self.caption}\n".encode())
        return paths
