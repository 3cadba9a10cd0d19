"""``bench task``: look at a task before it is used."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.core.command_groups import Group

if TYPE_CHECKING:
    from PIL.Image import Image

    from bench.core.paths import Home
    from bench.core.task import Split, Task
    from bench.steps.inspect_task import TaskReport

_SHOWN = 6
"""Classes at each end, by their number of images, that are shown of many."""

_ROWS, _EACH, _TILE, _NAME = 24, 4, 96, 28
"""Classes on the contact sheet, images of each in a split, their side in pixels, and the most
characters of a name."""


@click.group(cls=Group)
def command() -> None:
    """Look at a task before it is used."""


@command.command()
@click.argument("task")
@click.option(
    "--sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PNG file for some images of each class.  [default: checks/NAME.png in the home folder]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(task: str, sheet: Path | None, as_json: bool) -> None:
    """Count a task's images, look for copies across splits, and save some of them in one picture.

    TASK is a name or a folder. What is doubtful is printed and the exit code is 0; it is 2 if no
    run could use the task.
    """
    import msgspec

    from bench.core.errors import RequestError
    from bench.core.paths import Home
    from bench.core.progress import Progress
    from bench.steps.inspect_task import inspect_task
    from bench.tasks import find_task

    home = Home.from_environment()
    found = find_task(task)
    found.check(home)
    found = found.at(home)
    path = sheet or home.root / "checks" / f"{found.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)  # Fails before the work, not after it.
    report = inspect_task(found, home, Progress())
    _sheet(found, home, report).save(path, "PNG")
    if as_json:
        fields = msgspec.structs.asdict(report) | {"sheet": str(path)}
        click.echo(msgspec.json.encode(fields).decode())
    else:
        click.echo(_text(report, path))
    if report.unreadable:
        raise RequestError(
            f"{len(report.unreadable):,} images of {found.name} cannot be read",
            "replace or remove them: a run needs all",
        )


def _text(report: "TaskReport", sheet: Path) -> str:
    from bench.core.terminal import escaped

    sizes = ", ".join(f"{split} {count:,}" for split, count in report.splits.items())
    lines = [f"{report.task}: {len(report.classes):,} classes; {sizes}", *report.notes]
    if report.shortest_side:
        least, median, most = report.shortest_side
        lines.append(f"shortest sides: {least:,} to {most:,} pixels, median {median:,}")
    lines += _table(report)
    lines += [f"warning: {line}" for line in report.warnings] or ["nothing is doubtful"]
    return "\n".join(map(escaped, [*lines, f"some of each class: {sheet}"]))


def _table(report: "TaskReport") -> list[str]:
    """Return the classes' numbers of images, those of the smallest and the largest of many."""
    from bench.core.progress import printable

    ordered = sorted(report.classes.items(), key=lambda item: (sum(item[1].values()), item[0]))
    left_out = len(ordered) - 2 * _SHOWN
    shown = ordered if left_out <= 1 else [*ordered[:_SHOWN], *ordered[-_SHOWN:]]
    names = {name: printable(name)[:40] for name, _ in shown}
    width = max(map(len, names.values()))
    lines = [f"  {'':<{width}}" + "".join(f"{split:>9}" for split in report.splits)]
    for place, (name, counts) in enumerate(shown):
        if left_out > 1 and place == _SHOWN:
            lines.append(f"  … {left_out:,} classes of a size between these …")
        numbers = "".join(f"{counts[split]:>9,}" for split in report.splits)
        lines.append(f"  {names[name]:<{width}}{numbers}")
    return lines


def _sheet(task: "Task", home: "Home", report: "TaskReport") -> "Image":
    """Return some images of classes of all sizes, the smallest first, a column for each split."""
    import numpy as np

    from bench.miniworld.contact_sheet import contact_sheet
    from bench.steps.inspect_task import images_of

    ordered = sorted(report.classes, key=lambda name: (sum(report.classes[name].values()), name))
    places = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), _ROWS)).round())
    shown = [ordered[int(place)] for place in places]
    columns = {}
    for name in report.splits:
        split = task.split(name, home)
        of_class = {each: images_of(split, task.class_names.index(each)) for each in shown}
        columns[name] = {
            _short(each, task): _tiles(split, rows.tolist()) for each, rows in of_class.items()
        }
    return contact_sheet(columns, _TILE)


def _short(name: str, task: "Task") -> str:
    """Return a name for the sheet, which no other class has."""
    if len(name) <= _NAME:
        return name
    label = f"… {task.label(name)}"
    return name[: _NAME - len(label)] + label


def _tiles(split: "Split", rows: "Iterable[int]") -> "list[Image]":
    """Return the first few of some images that can be read, each within a square."""
    from PIL import ImageOps

    from bench.core.errors import RequestError

    tiles: list[Image] = []
    for row in rows:
        try:
            tiles.append(ImageOps.pad(split.read(row), (_TILE, _TILE), color="white"))
        except (OSError, RequestError, ValueError):  # The report has them.
            continue
        if len(tiles) == _EACH:
            break
    return tiles
