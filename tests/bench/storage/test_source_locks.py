"""Locks tell whether another process collects a source's images."""

import threading
import time
from pathlib import Path

from filelock import FileLock

from bench.core.paths import Home
from bench.planning.preset import resolve
from bench.storage.source_locks import is_collected_elsewhere, marked_as_collecting


def test_a_source_is_marked_though_another_process_probes_its_lock(
    home: Home, preset: Path, colours: Path
) -> None:
    spec = resolve(str(preset), task=str(colours), source="real", n=6)
    with marked_as_collecting(spec, home):
        (path,) = (home.root / "source-locks").iterdir()
    probing = threading.Event()

    def probe() -> None:
        with FileLock(path):
            probing.set()
            time.sleep(0.05)

    prober = threading.Thread(target=probe)
    prober.start()
    assert probing.wait(10)
    with marked_as_collecting(spec, home):
        prober.join()
        assert is_collected_elsewhere(spec, home)
