"""A study's table, filling as its runs end: in place on a terminal, a line a run in a log file.

It looks at the records, so it does not matter which processes write them.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from bench.core.paths import Home
    from bench.core.records import RunRecord
    from bench.core.specs import RunSpec

_POLL_SECONDS = 0.5

_Show = Callable[[], None]


@contextmanager
def live_table(
    specs: "Sequence[RunSpec]",
    titles: dict[str, str],
    home: "Home",
    stream: TextIO | None = None,
) -> Iterator[None]:
    """Show what comes out of a study's runs while the block carries them out.

    Args:
        specs: The runs; their sources are the rows, their n the columns.
        titles: Run id to what the run is called.
        home: Where their records appear.
        stream: Where to write; standard error if None.
    """
    from bench.core.progress import Progress

    stream = stream or sys.stderr
    board = Board(specs, titles, home)
    if board.ended:
        Progress(stream).say(f"{len(board.ended)} of {len(specs)} runs were done before")
    stop = threading.Event()
    with _shown(board, stream) as show:
        watcher = threading.Thread(target=_watch, args=(stop, show), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
            show()


class Board:
    """Which runs of a study have ended, and what they scored.

    Attributes:
        ended: Run id to record, of the runs that are done or have failed while we looked.
    """

    def __init__(self, specs: "Sequence[RunSpec]", titles: dict[str, str], home: "Home") -> None:
        self._specs = {spec.run_id: spec for spec in specs}
        self._titles = titles
        self._home = home
        self.ended: dict[str, RunRecord] = {}
        self._before: dict[str, int] = {}
        # Taken before the look: what is written meanwhile is news to the next one.
        before = {run_id: self._written(run_id) for run_id in self._specs}
        self.look()
        # What failed before is tried again.
        self.ended = {key: own for key, own in self.ended.items() if own.status == "done"}
        self._before = before

    def look(self) -> list[str]:
        """Look at the records, and return a line for each run that has ended since."""
        from bench.storage.run_folder import read_record

        lines = []
        for run_id in self._specs:
            if run_id in self.ended or self._written(run_id) == self._before.get(run_id):
                continue
            record = read_record(self._home, run_id)
            if record is not None:
                self.ended[run_id] = record
                lines.append(self._line(record))
        return lines

    def table(self) -> list[str]:
        """Return a head and a line per source: mean test scores over the seeds that are done."""
        from bench.core.size import format_size

        cells: dict[tuple[str, int | None], list[RunRecord | None]] = {}
        for run_id, spec in self._specs.items():
            place = spec.source, 0 if spec.source == "none" else spec.n
            cells.setdefault(place, []).append(self.ended.get(run_id))
        sizes = sorted({n for _, n in cells}, key=lambda n: float("inf") if n is None else n)
        rows = [[f"{len(self.ended)} of {len(self._specs)} runs", *map(format_size, sizes)]]
        for source in dict.fromkeys(source for source, _ in cells):
            own = [_cell(cells[source, n]) if (source, n) in cells else "" for n in sizes]
            rows.append(["unadapted" if source == "none" else source, *own])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]

    def _line(self, record: "RunRecord") -> str:
        from bench.core.progress import printable

        score = _headline(record)
        found = f"{score[0]} {100 * score[1]:.1f} %" if score else "no test score"
        if record.status == "failed":
            found = f"failed: {printable(record.error)}"
        return (
            f"[{len(self.ended)}/{len(self._specs)}] {self._titles[record.run_id]}: "
            f"{found}{_took(record)}"
        )

    def _written(self, run_id: str) -> int:
        """Return when a record was written, in nanoseconds; -1 if there is none."""
        try:
            return (self._home.run(run_id) / "record.json").stat().st_mtime_ns
        except OSError:
            return -1


def _headline(record: "RunRecord") -> tuple[str, float] | None:
    """Return the evaluator that is shown first, and its test score in the chosen metric."""
    from results.labels import in_order

    metric = record.selection.get("metric", "accuracy")
    tested = {
        score.evaluator: score.value
        for score in record.scores
        if (score.split, score.metric) == ("test", metric)
    }
    return next(((name, tested[name]) for name in in_order(tested)), None)


def _cell(records: "list[RunRecord | None]") -> str:
    scores = [found[1] for record in records if record and (found := _headline(record))]
    if not scores:
        return "failed" if all(records) else "…"
    mean = f"{100 * sum(scores) / len(scores):.1f}"
    return mean if len(scores) == len(records) else f"{mean} ({len(scores)}/{len(records)})"


def _took(record: "RunRecord") -> str:
    from bench.core.duration import format_duration

    try:
        began, ended = map(datetime.fromisoformat, (record.started, record.finished))
    except ValueError:
        return ""
    return f", after {format_duration((ended - began).total_seconds())}"


@contextmanager
def _shown(board: Board, stream: TextIO) -> Iterator[_Show]:
    """Yield what shows the news: the table on a terminal, which is gone afterwards, or lines."""
    from tqdm import tqdm

    from bench.core.progress import Progress

    if not stream.isatty():
        progress = Progress(stream)

        def say() -> None:
            for line in board.look():
                progress.say(line)

        yield say
        return
    # Bars without a bar: tqdm keeps them and the bars of the work out of each other's way.
    rows = [
        tqdm(bar_format="{desc}", desc=line, file=stream, leave=False, dynamic_ncols=True)
        for line in board.table()
    ]

    def redraw() -> None:
        if board.look():
            for row, line in zip(rows, board.table(), strict=True):
                row.set_description_str(line)

    try:
        yield redraw
    finally:
        for row in reversed(rows):
            row.close()


def _watch(stop: threading.Event, show: _Show) -> None:
    # Ctrl-C and Slurm's notices are for the main thread, which might not wake up otherwise.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while not stop.wait(_POLL_SECONDS):
        show()
