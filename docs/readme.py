"""The README's table and the docs' figures, from one demo: ``make readme``.

    python -m docs.readme [HOME]

Without HOME, which is that of a finished `bench demo`, one is executed in a temporary home. Its
numbers go to ``readme.json``, of which the pages are rendered; a test fails when they differ.
"""

import json
import os
import subprocess
import sys
import tempfile
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import msgspec
import pandas as pd
from PIL import Image

from bench.core.errors import BenchError, RequestError
from bench.core.json_values import Json, readable_json
from bench.core.paths import Home
from results import fidelity, figures, tables
from results.conclusions.conclusion import conclusions
from results.database import queries, store
from results.drawing.look import LOOKS
from results.drawing.wanted import Wanted
from results.experiment import Experiment
from results.summary import summary
from results.wording import sentence, wrapped

NUMBERS = Path(__file__).with_name("readme.json")
"""What the last demo came to."""

PICTURES = Path(__file__).with_name("figures")
"""Where the figures of the last demo are."""

_COLOURS = 128

COLUMNS = (
    *("label", "source", "evaluator", "metric", "n_asked", "n_used", "n_used_min", "n_used_max"),
    *("seeds", "mean", "seed_min", "seed_max", "seed_std", "test_low", "test_high", "test_images"),
    *("trained_mean", "last_mean"),
)
"""What is kept of `results.database.queries.scaling`."""


def read() -> Json:
    """Return what the last demo came to."""
    told: Json = json.loads(NUMBERS.read_text("utf-8"))
    return told


def demo(told: Json) -> str:
    """Return what the demo printed of its results, as a block of Markdown."""
    return f"```\n{_printed(told)}\n```"


def every_figure() -> str:
    """Return all figures that there are with what they show, as a table of Markdown."""
    rows = [f"| `{name}` | {figures.what(name).rstrip('.')} |" for name in figures.names()]
    return "\n".join(["| figure | shows |", "|---|---|", *rows])


def pictures(told: Json) -> str:
    """Return the figures with their captions, as Markdown."""
    return "\n\n".join(
        f"### {name}\n\n![{shown['what']}](figures/{name}.png)\n\n{_short(shown['caption'])}"
        for name, shown in told["figures"].items()
    )


def _short(caption: str) -> str:
    """Return a caption without what the page says of all."""
    return wrapped(caption.partition(" Miniature world")[0], 100)


def _printed(told: Json) -> str:
    """Return the lines of `results.summary.summary`, in brief."""
    task = told["task"]
    sentences = [*told["conclusions"], sentence(fidelity.describe(told["fidelity"], task))]
    table = tables.text(pd.DataFrame(told["scores"]))
    return "\n".join([told["title"], table, *(wrapped(text, bullet="- ") for text in sentences)])


def measure(home: Home) -> Json:
    """Return what the demo in a home came to, and draw its figures.

    Raises:
        RequestError: If the home has no results, or those of other experiments too.
        BenchError: If what is rendered of the numbers is not what the demo prints.
    """
    with store.collect(home).reading() as connection:
        experiments = queries.experiments(connection)
        if len(experiments) != 1:
            raise RequestError(
                f"{home.root} has results of {len(experiments)} experiments, not of a demo alone",
                "leave the home out, so that a demo is executed",
            )
        [experiment] = experiments
        told = _numbers(connection, experiment)
        told["figures"] = _draw(home, connection, experiment)
    if _printed(told) != summary(home, [experiment], brief=True).strip():
        raise BenchError("the demo prints something else", "render that in docs/readme.py")
    return told


def _numbers(connection: store.Connection, experiment: Experiment) -> Json:
    known = queries.fidelity(connection, experiment)
    domain = experiment.task.removeprefix("mini-")
    scores = queries.scaling(connection, experiment)[list(COLUMNS)]
    return {
        "title": experiment.title,
        "task": experiment.task,
        "scores": json.loads(scores.to_json(orient="records")),
        "conclusions": conclusions(connection, experiment, brief=True),
        "fidelity": {
            "settings": known["settings"],
            "domains": {domain: _accuracies(known["domains"][domain])},
        },
    }


def _accuracies(measured: Json) -> Json:
    parts = [part.name for part in msgspec.structs.fields(fidelity.Measured)]
    return {part: {key: measured[part][key] for key in ("accuracy", "n")} for part in parts}


def _draw(home: Home, connection: store.Connection, experiment: Experiment) -> Json:
    """Draw every figure that there is something to draw of; return what each shows."""
    wanted = Wanted(home, connection, experiment, LOOKS["paper"], wide=True)
    for old in PICTURES.iterdir():
        old.unlink()
    shown = {}
    for name in figures.names():
        try:
            drawn = figures.figure(name)(wanted)
        except RequestError as error:  # A demo has no mixtures, for one.
            sys.stdout.write(f"no {name}: {error}\n")
            continue
        picture = PICTURES / f"{name}.png"
        _save(drawn.bytes_as("png"), picture)
        shown[name] = {
            "what": figures.what(name),
            "caption": drawn.caption,
            "sha256": sha256(picture.read_bytes()).hexdigest(),
        }
    return shown


def _save(png: bytes, path: Path) -> None:
    """Save a picture with as few colours as are not missed: a third of the bytes."""
    with Image.open(BytesIO(png)) as image:
        image.convert("RGB").quantize(_COLOURS).save(path, optimize=True)


def main(arguments: list[str]) -> None:
    """Write the numbers and the figures, of a demo in the home that is given or in a new one."""
    with tempfile.TemporaryDirectory() as folder:
        root = arguments[0] if arguments else folder
        if not arguments:
            words = [sys.executable, "-m", "bench.cli", "demo"]
            subprocess.run(words, env=os.environ | {"BENCH_HOME": folder}, check=True)
        PICTURES.mkdir(exist_ok=True)
        NUMBERS.write_bytes(readable_json(measure(Home(Path(root)))) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
