"""What `bench fetch --pool` fetches: Parquet files and tars of a data set of the Hub."""

from collections.abc import Sequence

from bench.commands._hub import Snapshot, find_snapshot
from bench.core.errors import RequestError, unknown_name
from bench.core.model_names import FETCHED_POOLS, hub_id
from bench.core.paths import Home
from sources.pool.kinds import DECLARATION

_ENDS = (".parquet", ".tar")


def pool_snapshot(name: str, home: Home) -> Snapshot:
    """Return what there is to fetch of a pool.

    Raises:
        RequestError: If nothing that is called so is fetched, or it has no such files.
        BenchError: If the Hub does not answer.
    """
    repository, revision = hub_id(name)
    if name in FETCHED_POOLS:
        repository = FETCHED_POOLS[name]
    elif repository is None or revision is None:
        raise unknown_name("pool to fetch", name, [*FETCHED_POOLS, "ORG/NAME@REVISION"])
    folder = home.pools / name
    return find_snapshot(repository, revision, "dataset", folder, _pool_files)


def _pool_files(files: Sequence[str]) -> list[str]:
    chosen = [file for file in files if file.lower().endswith((*_ENDS, DECLARATION))]
    if not any(file.lower().endswith(_ENDS) for file in chosen):
        raise RequestError("the data set has neither Parquet files nor tars", "choose another one")
    return chosen
