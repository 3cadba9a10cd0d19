"""What `bench fetch --pool` fetches: the Parquet files of a pool that is a data set of the Hub."""

from collections.abc import Sequence

from bench.commands._hub import Snapshot, find_snapshot
from bench.core.errors import RequestError, unknown_name
from bench.core.model_names import FETCHED_POOLS, hub_id
from bench.core.paths import Home


def pool_snapshot(name: str, home: Home) -> Snapshot:
    """Return what there is to fetch of a pool.

    Raises:
        RequestError: If nothing that is called so is fetched, or it has no Parquet files.
        BenchError: If the Hub does not answer.
    """
    repository, revision = hub_id(name)
    if name in FETCHED_POOLS:
        repository = FETCHED_POOLS[name]
    elif repository is None or revision is None:
        raise unknown_name("pool to fetch", name, [*FETCHED_POOLS, "ORG/NAME@REVISION"])
    folder = home.pools / name
    return find_snapshot(repository, revision, "dataset", folder, _parquet_files)


def _parquet_files(files: Sequence[str]) -> list[str]:
    chosen = [file for file in files if file.lower().endswith((".parquet", "pool.yaml"))]
    if not any(file.lower().endswith(".parquet") for file in chosen):
        raise RequestError("the data set has no Parquet files", "choose another one")
    return chosen
