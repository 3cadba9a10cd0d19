"""The home folder, below which everything a run writes is kept."""

import os
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import RequestError
from bench.core.missing import MissingError
from bench.core.model_names import fetchable, folder_name, how_to_fetch
from bench.core.names import check_utf8
from bench.core.weights_folder import checked_config, is_architecture, is_image_only

_MINIWORLD = Path(__file__).parents[1] / "miniworld"
_PACKAGED = (_MINIWORLD / "weights", _MINIWORLD / "architectures")

_UNUSABLE = {"\\", "?"}
"""DuckDB 2.0 takes the one for a slash, and what follows the other for options."""


@dataclass(frozen=True)
class Home:
    """The home folder (``$BENCH_HOME``, else ``./bench-home``) and its parts."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Home":
        """Return the home folder that the environment names.

        Raises:
            RequestError: If its path is not UTF-8, or none that DuckDB can open.
        """
        root = Path(os.environ.get("BENCH_HOME") or "bench-home").absolute()
        check_utf8("the home folder", str(root))
        for character in _UNUSABLE & set(str(root)):
            raise RequestError(
                f"the path of the home folder {root} has a {character}, which DuckDB cannot open",
                "set BENCH_HOME to another folder",
            )
        return cls(root)

    @property
    def data(self) -> Path:
        """Stage outputs: pools, downloads, generated images, image sets."""
        return self.root / "data"

    @property
    def runs(self) -> Path:
        """One folder per run: its spec, checkpoints, predictions and record."""
        return self.root / "runs"

    @property
    def weights(self) -> Path:
        """Fetched model weights, one folder per model."""
        return self.root / "weights"

    @property
    def pools(self) -> Path:
        """Pools, one folder each."""
        return self.root / "pools"

    @property
    def tasks(self) -> Path:
        """Fetched benchmark data, one folder per task."""
        return self.root / "tasks"

    @property
    def database(self) -> Path:
        """The DuckDB file, rebuilt from the records by ``bench collect``."""
        return self.root / "results.duckdb"

    @property
    def report(self) -> Path:
        """The report's folder."""
        return self.root / "report"

    def run(self, run_id: str) -> Path:
        """Return the folder of one run."""
        return self.runs / run_id

    def weights_folder(self, name: str) -> Path:
        """Return where a model's weights are kept once they are fetched."""
        return self.weights / folder_name(name)

    def find_weights(self, name: str) -> Path:
        """Return the folder of a model by fetched name, by packaged name or by path.

        Raises:
            MissingError: If there is no such folder.
        """
        for folder in (*self._named_weights(name), Path(name)):
            if folder.is_dir():
                return folder
        raise MissingError(
            f"the weights {name!r} are not in {self.weights}", how_to_fetch(name), fetchable(name)
        )

    def find_clip(self, name: str) -> Path:
        """Return the folder of a model that embeds images and texts, as `find_weights` does.

        Raises:
            RequestError: If it is an image encoder without a text tower or an architecture without
            weights, or cannot be loaded.
        """
        folder = self.find_weights(name)
        if is_image_only(folder):
            raise RequestError(
                f"the model {name} is an image encoder without a text tower", "name a CLIP here"
            )
        if is_architecture(folder):
            raise RequestError(
                f"the model {name} is an architecture without weights", "name a CLIP here"
            )
        checked_config(folder)
        return folder

    def has_weights(self, name: str) -> bool:
        """Return whether weights are known by name, fetched or packaged."""
        return any(folder.is_dir() for folder in self._named_weights(name))

    def _named_weights(self, name: str) -> list[Path]:
        return [self.weights_folder(name), *(folder / name for folder in _PACKAGED)]

    @staticmethod
    def packaged_models() -> list[str]:
        """Return the names of the models that are packaged."""
        return sorted(
            path.name for folder in _PACKAGED for path in folder.iterdir() if path.is_dir()
        )

    def make_writable(self) -> None:
        """Create the home folder.

        Raises:
            RequestError: If it cannot be written to.
        """
        try:
            for folder in (self.data, self.runs):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise RequestError(
                f"cannot write to the home folder {self.root}: {error.strerror}",
                "set BENCH_HOME to a folder you can write to",
            ) from error
