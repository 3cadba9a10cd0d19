"""A running ``clip-retrieval back``, asked over HTTP."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import polars as pl
from httpx import Client

from bench.core.arrays import FloatArray
from bench.core.errors import BenchError, RequestError, unknown_name
from bench.core.http_json import ask, client, server_address
from bench.core.json_values import Json
from sources.pool.matcher import MAX_CAPTION

_SCHEMA = {
    "query": pl.Int64,
    "similarity": pl.Float32,
    "url": pl.String,
    "caption": pl.String,
    "nsfw": pl.String,
}

_Name = Annotated[str, msgspec.Meta(pattern=r"^[ -~]{1,100}\Z")]
"""An index's name, fit to be shown on a terminal."""


class _Answer(msgspec.Struct):
    """One image of an answer, the names of its columns in lower case."""

    # Finite: the range of a float32.
    similarity: Annotated[float, msgspec.Meta(ge=-3.4e38, le=3.4e38)]
    url: str | None = None
    caption: str | None = None
    text: str | None = None
    nsfw: str | None = None


class Server:
    """An index behind a running ``clip-retrieval back``.

    Args:
        url: Its address.
        name: Which of its indices; None for the only one.

    Raises:
        RequestError: If the address is none, no server answers, or it has no such index.
    """

    def __init__(self, url: str, name: str | None) -> None:
        self._url = server_address(url, "knn.url")
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
        """Where the index is; what it holds, a server does not say."""
        return f"{self._url} {self._name}"

    def nearest(self, queries: FloatArray, k: int) -> pl.DataFrame:
        """Return the nearest images of each query, as `IndexFolder.nearest` does.

        Raises:
            BenchError: If the server fails, or answers what it should not.
        """
        parts = [pl.DataFrame(schema=_SCHEMA)]
        with client() as asking:
            for query, embedding in enumerate(queries):
                question = {
                    "embedding_input": embedding.tolist(),
                    "modality": "image",
                    "num_images": k,
                    "num_result_ids": k,
                    "indice_name": self._name,
                    # What goes is decided here, the same for a server and a folder.
                    "deduplicate": False,
                    "use_safety_model": False,
                    "use_violence_detector": False,
                }
                parts.append(self._table(self._ask(asking, question), query, k))
        return pl.concat(parts)

    def _ask(self, asking: Client, question: Json) -> object:
        try:
            return ask(asking, f"{self._url}/knn-service", question)
        except BenchError as error:
            raise BenchError(
                error.what,
                "was the index built with source.knn.model? look at the server's log; "
                "then the same command continues",
            ) from error

    def _names(self) -> list[str]:
        problem = "its list of indices is none"
        try:
            with client() as asking:
                return msgspec.convert(ask(asking, f"{self._url}/indices-list"), list[_Name])
        except BenchError as error:
            problem = error.what
        except ValueError:
            pass
        raise RequestError(
            f"no clip-retrieval server answers: {problem}",
            "start `clip-retrieval back`, or name the index's folder: --set source.knn.index=…",
        )

    def _table(self, answer: object, query: int, k: int) -> pl.DataFrame:
        try:
            rows = msgspec.convert(answer, list[dict[str, Any]])
            found = msgspec.convert([_lowered(row) for row in rows[:k]], list[_Answer])
        except ValueError as error:
            raise BenchError(f"{self._url} answers in another form: {error}") from error
        if found and not any(row.url for row in found):
            raise BenchError(
                f"the images that {self._url} names have no addresses",
                "its metadata needs them, and --columns_to_return (url, caption, NSFW)",
            )
        return pl.DataFrame(
            [
                (query, row.similarity, row.url, _caption(row)[:MAX_CAPTION], row.nsfw)
                for row in found
            ],
            schema=_SCHEMA,
            orient="row",
        )


def _caption(row: _Answer) -> str:
    return row.caption or row.text or ""


def _lowered(row: Mapping[str, Any]) -> Json:
    return {name.lower(): value for name, value in row.items()}
