"""What `bench doctor` checks of the data: models, tasks and pools."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands._finding import Finding, fail, note, ok

if TYPE_CHECKING:
    from bench.core.json_values import Json


def weights() -> Iterator[Finding]:
    """Check the models that the presets name, and the released ones that are here."""
    from bench.core.errors import RequestError
    from bench.core.missing import MissingError
    from bench.core.model_names import RELEASED
    from bench.core.paths import Home
    from bench.core.undamaged_weights import check_undamaged
    from bench.planning import preset

    presets = map(preset.load, preset.names())
    named = [name for one in presets for name in (one.model, *_models_in(one.sources))]
    home = Home.from_environment()
    released = [name for name in RELEASED if home.weights_folder(name).is_dir()]
    for name in dict.fromkeys([*named, *released]):
        try:
            folder = home.find_weights(name)
            check_undamaged(folder)
        except MissingError as error:
            yield note(error.what, error.fix)
        except RequestError as error:
            yield fail(error.what, error.fix)
        else:
            yield _loadable(name, folder)


def _loadable(name: str, folder: Path) -> Finding:
    from bench.core.weights_folder import is_architecture

    if is_architecture(folder):
        return ok(f"{name} is here: an architecture without weights, trained from scratch")
    if any(folder.rglob("*.safetensors")):
        return ok(f"{name} is here")
    return fail(f"{name} has no weights as safetensors", "remove its folder and fetch it again")


def _models_in(options: "Json") -> Iterator[str]:
    """Return every value of a field called model, however deep."""
    for key, value in options.items():
        if key == "model" and isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from _models_in(value)


def tasks() -> Iterator[Finding]:
    """Check the tasks whose data are here, and name the others."""
    from bench.core.errors import RequestError
    from bench.core.missing import MissingError
    from bench.core.paths import Home
    from bench.plugins import tasks
    from bench.tasks import find_task

    home, absent = Home.from_environment(), []
    for name in tasks.names():
        if tasks.get(name).rendered:
            continue
        try:
            find_task(name).check(home)
        except MissingError as error:
            if (home.tasks / name).exists():
                yield fail(error.what, error.fix)
            else:
                absent.append(name)
        except RequestError as error:
            yield fail(error.what, error.fix)
        else:
            yield ok(f"{name} has the official images and labels")
    if absent:
        yield note(f"not in {home.tasks}: {', '.join(absent)}", "`bench fetch --task NAME`")


def pools() -> Iterator[Finding]:
    """Check the pools in the home folder."""
    from bench.core.errors import RequestError
    from bench.core.paths import Home
    from sources.pool.pool import Pool

    folder = Home.from_environment().pools
    # Hidden ones are downloads that were interrupted.
    found = [name for path in sorted(folder.glob("[!.]*")) for name in _pools_in(path)]
    for name in found:
        try:
            pool = Pool.find(name, Home.from_environment())
            files = pool.files()
        except RequestError as error:
            yield fail(error.what, error.fix)
        else:
            yield ok(f"{name} has {pool.what}: {len(files):,} to scan")
    if not found:
        yield note(
            f"there is no pool in {folder}",
            "retrieval from real data needs one (docs/retrieval.md); `--preset mini` does not",
        )


def _pools_in(path: Path) -> list[str]:
    """Return the name of a pool; of a folder of fetched ones, ORG/NAME@REVISION, theirs."""
    from bench.core.weights_folder import SOURCE_FILE

    fetched = sorted(each.parent.name for each in path.glob(f"[!.]*/{SOURCE_FILE}"))
    return [f"{path.name}/{name}" for name in fetched] or [path.name] * path.is_dir()
