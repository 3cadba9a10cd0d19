"""Search an index behind a running ``clip-retrieval back``, over HTTP."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import polars as pl
from httpx import Client

from bench.core.arrays import FloatArray
from bench.core.errors import BenchError, RequestError, unknown_name
from bench.core.http_json import open_client, request_json, server_address
from bench.core.json_values import Json
from sources.pool.flags import FLAGS
from sources.pool.matcher import MAX_CAPTION

_SCHEMA = {
    "query": pl.Int64,
    "similarity": pl.Float32,
    "url": pl.String,
    "caption": pl.String,
    **FLAGS,
}

_Name = Annotated[str, msgspec.Meta(pattern=r"^[ -~]{1,100}\Z")]
"""An index's name, safe to show on a terminal."""


class _Image(msgspec.Struct):
    """One image of a response; the names of its columns are in lower case."""

    # Finite: the range of a float32.
    similarity: Annotated[float, msgspec.Meta(ge=-3.4e38, le=3.4e38)]
    url: str | None = None
    caption: str | None = None
    text: str | None = None
    nsfw: str | None = None
    punsafe: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


class KnnServer:
    """An index behind a running ``clip-retrieval back``.

    Args:
        url: Its address.
        name: Which of its indices; None for the only one.

    Raises:
        RequestError: If it is not an address, no server responds, or it has no such index.
    """

    def __init__(self, url: str, name: str | None) -> None:
        self._url = server_address(url, "source.knn.url")
        names = self._names()
        if name is None and len(names) != 1:
            raise RequestError(
                f"{self._url} has {len(names)} indices",
                f"choose one: --set source.knn.name=…, of {', '.join(names)}",
            )
        self._name = name or names[0]
        if self._name not in names:
            raise unknown_name(f"index of {self._url}", self._name, names)

    @property
    def fingerprint(self) -> str:
        """The index's address and name; a server does not identify its content."""
        return f"{self._url} {self._name}"

    def nearest(self, queries: FloatArray, k: int) -> pl.DataFrame:
        """Return the nearest images of each query, as `IndexFolder.nearest` does.

        Raises:
            BenchError: If the server fails, or its response has another form.
        """
        parts = [pl.DataFrame(schema=_SCHEMA)]
        with open_client() as client:
            for query, embedding in enumerate(queries):
                payload = {
                    "embedding_input": embedding.tolist(),
                    "modality": "image",
                    "num_images": k,
                    "num_result_ids": k,
                    "indice_name": self._name,
                    # We filter by ourselves, the same for a server and a folder.
                    "deduplicate": False,
                    "use_safety_model": False,
                    "use_violence_detector": False,
                }
                parts.append(self._table(self._request(client, payload), query, k))
        return pl.concat(parts)

    def _request(self, client: Client, payload: Json) -> object:
        try:
            return request_json(client, f"{self._url}/knn-service", payload)
        except BenchError as error:
            raise BenchError(
                error.what,
                "was the index built with source.knn.model? look at the server's log; "
                "then the same command continues",
            ) from error

    def _names(self) -> list[str]:
        problem = "it lists no indices"
        try:
            with open_client() as client:
                listed = request_json(client, f"{self._url}/indices-list")
            return msgspec.convert(listed, list[_Name])
        except BenchError as error:
            problem = error.what
        except ValueError:
            pass
        raise RequestError(
            f"no clip-retrieval server responds: {problem}",
            "start `clip-retrieval back`, or name the index's folder: --set source.knn.index=…",
        )

    def _table(self, response: object, query: int, k: int) -> pl.DataFrame:
        try:
            rows = msgspec.convert(response, list[dict[str, Any]])
            images = msgspec.convert([_lower_names(row) for row in rows[:k]], list[_Image])
        except ValueError as error:
            raise BenchError(f"{self._url} responds in another form: {error}") from error
        if images and not any(image.url for image in images):
            raise BenchError(
                f"the images that {self._url} returns have no URLs",
                "its metadata needs them, and --columns_to_return (url, caption, NSFW or punsafe)",
            )
        return pl.DataFrame(
            [
                (
                    query,
                    image.similarity,
                    image.url,
                    _caption(image)[:MAX_CAPTION],
                    image.nsfw,
                    image.punsafe,
                )
                for image in images
            ],
            schema=_SCHEMA,
            orient="row",
        )


def _caption(image: _Image) -> str:
    return image.caption or image.text or ""


def _lower_names(row: Mapping[str, Any]) -> Json:
    return {name.lower(): value for name, value in row.items()}
