"""Say what most images were lost to, for the error that there are too few of them."""

from collections import Counter
from urllib.parse import urlsplit

import polars as pl

from bench.core.json_values import Json
from sources.download.addresses import parse_endpoint
from sources.download.failures import may_pass


def commonest_loss(
    counts: Json, dropped: str, matched: pl.DataFrame, failures: pl.DataFrame
) -> tuple[str, str]:
    """Return what most images were lost to and what to do about it; nothing if none was lost.

    Args:
        counts: The image set's counts: ``matched``, ``fetched``, ``failed``, ``decodable``,
            ``duplicates``, and what the filter dropped.
        dropped: What the counts call the latter.
        matched: What was asked for: key and url.
        failures: What the download made of it: key and failure, null for an image that is there.
    """
    copies = sum(count for count in counts["duplicates"].values() if isinstance(count, int))
    losses = [(count, f"failed with {kind!r}", kind) for kind, count in counts["failed"].items()]
    losses += [
        (counts["fetched"] - counts["decodable"], "do not decode", ""),
        (counts[dropped], f"were {dropped!r}", "filter"),
        (copies, "were copies of others", ""),
    ]
    count, what, kind = max(losses, key=lambda loss: loss[0])
    if not count:
        return "", ""
    return f"{count:,} of {counts['matched']:,} matched images {what}", _remedy(
        kind, matched, failures
    )


def _remedy(kind: str, matched: pl.DataFrame, failures: pl.DataFrame) -> str:
    if kind == "filter":
        return "set source.filter otherwise"
    if kind == "refused address":
        refused = matched.join(failures.filter(failure=kind), on="key", how="semi")
        endpoint = _commonest_endpoint(refused["url"])
        return (
            "their servers are not on the public Internet; if they are yours, add --set "
            f"source.download.allow_private='[\"{endpoint}\"]'"
        )
    return "try them again with --retry-failed" if kind and may_pass(kind) else ""


def _commonest_endpoint(urls: pl.Series) -> str:
    """Return ADDRESS:PORT of most URLs, or those words where they name no numeric address."""
    places: Counter[str] = Counter()
    for url in urls:
        parts = urlsplit(url)
        try:
            port = parts.port or {"http": 80, "https": 443}[parts.scheme.lower()]
            host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
            parse_endpoint(f"{host}:{port}")
        except (ValueError, KeyError):
            continue
        places[f"{host}:{port}"] += 1
    return min(places, key=lambda place: (-places[place], place), default="ADDRESS:PORT")
