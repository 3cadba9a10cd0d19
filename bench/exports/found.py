"""Find what to export: an image set, or the images that a run used."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from bench.core.errors import BenchError, RequestError, unknown_name
from bench.core.json_values import Json, value_at
from bench.core.paths import Home
from bench.storage.image_set import ImageSet, Manifest
from bench.storage.run_folder import find_run, read_record


@dataclass(frozen=True)
class Exported:
    """The images to export.

    Attributes:
        name: What was asked for.
        images: The image set.
        rows: Those of its index that are exported, in order of key.
        sample: How they were chosen from the set; empty where all are exported.
    """

    name: str
    images: ImageSet
    rows: pl.DataFrame
    sample: str = ""

    @property
    def manifest(self) -> Manifest:
        """What the set is."""
        return self.images.manifest

    @property
    def task(self) -> str:
        """The name of the task whose classes the labels index."""
        return last_part(self.manifest.task.split("@")[0])

    @property
    def maker(self) -> str | None:
        """The generator, or the pool, that the images are from, if there is one."""
        options = self.manifest.options
        for path in ("generation.model", "pool"):
            if isinstance(value := value_at(options, path), str):
                return last_part(value)
        return None


def find_images(name: str, home: Home) -> Exported:
    """Return the images of a set (its folder, or that folder's name) or of a run.

    Raises:
        RequestError: If there is no such set or run, or the run used no images.
        BenchError: If the set cannot be read, or is no longer there.
    """
    for folder in (home.data / name, Path(name)):
        if (folder / "manifest.json").is_file():
            images = ImageSet.open(folder, folder.resolve().parent)
            return Exported(folder.resolve().name, images, images.index())
    sets = _sets(home)
    runs = [path.name for path in home.runs.iterdir()] if home.runs.is_dir() else []
    if not any(run.startswith(name) for run in runs):
        raise unknown_name("image set or run", name, [*(path.name for path in sets), *runs])
    return _of_run(find_run(home, name), home, sets)


def last_part(text: str) -> str:
    """Return the last part of an absolute path; other text, a name for one, as it is."""
    return Path(text).name if Path(text).is_absolute() else text


def without_paths(value: object) -> object:
    """Return a JSON value in which every absolute path is its last part."""
    if isinstance(value, dict):
        return {name: without_paths(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_paths(each) for each in value]
    return last_part(value) if isinstance(value, str) else value


def _sets(home: Home) -> list[Path]:
    return sorted(path.parent for path in home.data.glob("images-*/manifest.json"))


def _of_run(run: str, home: Home, sets: list[Path]) -> Exported:
    record = read_record(home, run)
    if record is None or not record.image_set or record.spec.n == 0:
        raise RequestError(f"run {run} used no images", "choose a run that was trained on some")
    for folder in sets:
        content = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Json)
        if content.get("content") == record.image_set:
            images, spec = ImageSet.open(folder, home.data), record.spec
            rows = images.select(spec.n, spec.seed, spec.order).sort("key")
            size = f"{rows.height:,} of the set's {len(images):,} images"
            sample = f"{size}, as run {run} used them (seed {spec.seed}, order {spec.order})"
            return Exported(run, images, rows.select(images.index().columns), sample)
    raise BenchError(
        f"the image set of run {run} is no longer in {home.data}", "repeat the run with --fresh"
    )
