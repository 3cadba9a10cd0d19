"""What a JSON object says of an image, by the names that columns of a Parquet file have."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from sources.pool.columns import USUAL_NAMES, Columns, InvalidFileError
from sources.pool.flags import FLAGS

ROW_SCHEMA = {"caption": pl.String, "url": pl.String, **FLAGS}


class JsonRow(NamedTuple):
    """The columns of `ROW_SCHEMA`; None where nothing is said."""

    caption: str | None = None
    url: str | None = None
    nsfw: str | None = None
    punsafe: float | None = None

    @property
    def has_flag(self) -> bool:
        """Whether it says how safe an image is."""
        return self.nsfw is not None or self.punsafe is not None


def json_row(values: Mapping[str, Any], declared: Columns | None, where: str) -> JsonRow:
    """Return what an object says.

    Args:
        values: The object.
        declared: The names that ``pool.yaml`` gives; None for the usual ones, in any case.
        where: Where the object is, for the message.

    Raises:
        InvalidFileError: If a value is of another type. A number would be a flag that is never set.
    """
    if declared is None:
        lower = {name.lower(): value for name, value in values.items()}
        found = {
            name: next((lower[one] for one in usual if lower.get(one) is not None), None)
            for name, usual in USUAL_NAMES.items()
        }
    else:
        found = {name: values.get(getattr(declared, name) or "") for name in USUAL_NAMES}
    for name, value in found.items():
        types = (int, float) if name == "punsafe" else (str,)
        if value is not None and (isinstance(value, bool) or not isinstance(value, types)):
            raise InvalidFileError(f"{where}: the {name} is {value!r:.100}")
    return JsonRow(**found)
