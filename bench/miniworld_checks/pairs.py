"""Prepare what the check makes once and keeps in the home."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from bench.core.files import atomic_folder, fingerprint
from bench.core.paths import Home
from bench.miniworld.pool import WORLD, training_pairs
from bench.miniworld.training import tokenizer
from sources.pool.pool import MINIWORLD, Pool


def prepared_pairs(home: Home, clip: Path) -> Path:
    """Return a folder that holds the pool as CLIP's training takes it; made once per CLIP.

    Starts processes with `spawn`, so a calling script needs a `__main__` guard.

    Args:
        home: Where the pool is, or is written first.
        clip: The weights whose tokenizer is used.

    Returns:
        A folder with `pairs.npy`, `captions.json` and `tokenizer/`.
    """
    pool = Pool.find(MINIWORLD, home)
    pool.files()

    def make(folder: Path) -> None:
        images, texts = training_pairs(pool.root)
        np.save(folder / "pairs.npy", images)
        (folder / "captions.json").write_text(json.dumps(texts), encoding="utf-8")
        (folder / "tokenizer").mkdir()
        for name in tokenizer.FILES:
            shutil.copy(clip / name, folder / "tokenizer" / name)

    return build_once(home.data / f"{WORLD}-pairs-{fingerprint(clip)}", make)


def build_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder that holds what `make` writes into the folder it is given.

    Two processes that want it at once make it once; after a kill it is made again.
    """
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.is_dir():
            with atomic_folder(folder) as partial:
                make(partial)
    return folder
