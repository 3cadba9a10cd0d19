"""What the page has besides its content: style, scripts, and the rule that no others run."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent
_SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "vendor/sortable.min.js")
_OWN = ("templates/tables.js", "templates/charts.js", "templates/runs.js")


@dataclass(frozen=True)
class Assets:
    """What is embedded in the page.

    Attributes:
        style: The style sheet.
        scripts: The scripts, in the order in which they run.
        policy: The content security policy: these scripts alone, no request to anywhere.
    """

    style: str
    scripts: list[str]
    policy: str


@cache
def assets() -> Assets:
    """Return what every page embeds."""
    scripts = [(_FOLDER / name).read_text("utf-8") for name in (*_SCRIPTS, *_OWN)]
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    rules = ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"]
    # What comes from the web may neither change where links lead nor send a form anywhere.
    rules += [f"script-src {hashes}", "base-uri 'none'", "form-action 'none'"]
    style = (_FOLDER / "templates/style.css").read_text("utf-8")
    return Assets(style, scripts, "; ".join(rules))


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
