"""Tables of the published tasks, from their declarations: `docs.generate` puts them into a page."""

from bench.core.task import SPLITS
from bench.plugins import tasks
from bench.tasks import PublishedTask

_LINK_MARKS = str.maketrans({"|": "\\|", "<": "&lt;", ">": "&gt;"})


def published() -> list[PublishedTask]:
    """Return every published task, by name."""
    declared = (tasks.get(name) for name in tasks.names())
    return [task for task in declared if isinstance(task, PublishedTask)]


def numbers() -> str:
    """Return classes, images per split, metric and readers of every task, as a table."""
    rows = [
        "| task | classes | train | val | test | metric | read from |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in published():
        sizes = [_size(task, split) for split in SPLITS]
        cells = [
            f"`{task.name}`",
            f"{task.folder_names or len(task.class_names):,}",
            *sizes,
            task.metric,
        ]
        origins = ", ".join(dict.fromkeys(origin.label.split("@")[0] for origin in task.origins))
        rows.append(_row([*cells, origins]))
    return "\n".join(rows)


def rights() -> str:
    """Return how each task is had, what its licence allows, and its citation, as a table.

    Those that split the images of another are left out.
    """
    rows = ["| task | how it is had | licence | citation |", "|---|---|---|---|"]
    for task in published():
        if task.like:
            continue
        by_hand = task.how_to_get.replace("{folder}", f"$BENCH_HOME/tasks/{task.name}")
        how = by_hand or f"`bench fetch --task {task.name}`"
        rows.append(_row([f"`{task.name}`", how, task.licence, task.citation]))
    return "\n".join(rows)


def _size(task: PublishedTask, split: str) -> str:
    """Return the size of a split; of one that is cut by shares of every class, the share."""
    if split in task.split_sizes:
        return f"{task.split_sizes[split]:,}"
    of_all = {
        "test": task.test_of_all,
        "val": (1 - task.test_of_all) * task.val_of_train,
        "train": (1 - task.test_of_all) * (1 - task.val_of_train),
    }
    return f"{of_all[split]:.0%} of {task.split_sizes['all']:,}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.translate(_LINK_MARKS) for cell in cells)} |"
