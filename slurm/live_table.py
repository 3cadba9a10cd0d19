"""A study's live table: it fills in place on a terminal; in a log file it is a line per run.

It reads the records, so it does not matter which processes write them.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TextIO

from tqdm import tqdm

from bench.core.duration import format_duration
from bench.core.paths import Home
from bench.core.progress import Progress, printable
from bench.core.records import RunRecord
from bench.core.size import format_size
from bench.core.specs import RunSpec
from bench.core.terminal import is_terminal
from bench.storage.run_folder import read_record, record_date
from results.labels import in_order

_POLL_SECONDS = 0.5


@contextmanager
def live_table(
    specs: Sequence[RunSpec], titles: dict[str, str], home: Home, stream: TextIO | None = None
) -> Iterator[None]:
    """Show the results of a study's runs while the block executes them.

    Args:
        specs: The runs; their sources are the rows, their n the columns.
        titles: Run id to title.
        home: The home their records appear in.
        stream: Where to write; standard error if None.
    """
    stream = stream or sys.stderr
    board = Board(specs, titles, home)
    if board.ended:
        Progress(stream).say(f"{len(board.ended)} of {len(specs)} runs were done before")
    stop = threading.Event()
    with _display(board, stream) as update:
        watcher = threading.Thread(target=_watch, args=(stop, update), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
            update()


class Board:
    """The runs of a study that have ended, and their scores.

    Attributes:
        ended: Run id to record, of the runs that are done or have failed since this was made.
    """

    def __init__(self, specs: Sequence[RunSpec], titles: dict[str, str], home: Home) -> None:
        self._specs = {spec.run_id: spec for spec in specs}
        self._titles = titles
        self._home = home
        self.ended: dict[str, RunRecord] = {}
        self._dates: dict[str, int] = {}
        # Dated before the records are read: a record written meanwhile is new to the next `read`.
        dates = {run_id: record_date(home, run_id) for run_id in self._specs}
        self.read()
        # Runs that failed before are executed again.
        self.ended = {key: record for key, record in self.ended.items() if record.state != "failed"}
        self._dates = dates

    def read(self) -> list[str]:
        """Read new records, and return a line for each run that has ended since."""
        lines = []
        for run_id in self._specs:
            if run_id in self.ended or record_date(self._home, run_id) == self._dates.get(run_id):
                continue
            record = read_record(self._home, run_id)
            if record is not None:
                self.ended[run_id] = record
                lines.append(self._line(record))
        return lines

    def table(self) -> list[str]:
        """Return a head and a line per source: mean test scores over the seeds that are done."""
        cells: dict[tuple[str, int | None], list[RunRecord | None]] = {}
        for run_id, spec in self._specs.items():
            cell = spec.source, 0 if spec.source == "none" else spec.n
            cells.setdefault(cell, []).append(self.ended.get(run_id))
        sizes = sorted({n for _, n in cells}, key=lambda n: float("inf") if n is None else n)
        rows = [[f"{len(self.ended)} of {len(self._specs)} runs", *map(format_size, sizes)]]
        for source in dict.fromkeys(source for source, _ in cells):
            scores = [_cell(cells[source, n]) if (source, n) in cells else "" for n in sizes]
            rows.append(["unadapted" if source == "none" else source, *scores])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]

    def _line(self, record: RunRecord) -> str:
        score = _headline(record)
        outcome = f"{score[0]} {100 * score[1]:.1f} %" if score else "no test score"
        if record.status == "failed":
            outcome = f"{record.state}: {printable(record.error)}"
        return (
            f"[{len(self.ended)}/{len(self._specs)}] {self._titles[record.run_id]}: "
            f"{outcome}{_duration(record)}"
        )


def _headline(record: RunRecord) -> tuple[str, float] | None:
    """Return the evaluator that is shown first, and its test score in the selection metric."""
    metric = record.selection.get("metric", "accuracy")
    scores = {
        score.evaluator: score.value
        for score in record.scores_at("chosen")
        if (score.split, score.metric) == ("test", metric)
    }
    return next(((name, scores[name]) for name in in_order(scores)), None)


def _cell(records: list[RunRecord | None]) -> str:
    scores = [score[1] for record in records if record and (score := _headline(record))]
    if not scores:
        ended = [record.state for record in records if record]
        return ended[0] if len(ended) == len(records) else "…"
    mean = f"{100 * sum(scores) / len(scores):.1f}"
    return mean if len(scores) == len(records) else f"{mean} ({len(scores)}/{len(records)})"


def _duration(record: RunRecord) -> str:
    try:
        started, finished = map(datetime.fromisoformat, (record.started, record.finished))
    except ValueError:
        return ""
    return f", after {format_duration((finished - started).total_seconds())}"


@contextmanager
def _display(board: Board, stream: TextIO) -> Iterator[Callable[[], None]]:
    """Yield a function that shows new records: in a table on a terminal, else as lines.

    The table is erased at the end.
    """
    if not is_terminal(stream):
        progress = Progress(stream)

        def write_lines() -> None:
            for line in board.read():
                progress.say(line)

        yield write_lines
        return
    # Bars without a bar: tqdm keeps them apart from the bars of the runs.
    rows = [
        tqdm(bar_format="{desc}", desc=line, file=stream, leave=False, dynamic_ncols=True)
        for line in board.table()
    ]

    def redraw() -> None:
        if board.read():
            for row, line in zip(rows, board.table(), strict=True):
                row.set_description_str(line)

    try:
        yield redraw
    finally:
        for row in reversed(rows):
            row.close()


def _watch(stop: threading.Event, update: Callable[[], None]) -> None:
    # Ctrl-C and Slurm's signals are for the main thread, which might not wake up otherwise.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while not stop.wait(_POLL_SECONDS):
        update()
