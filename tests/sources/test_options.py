"""Options of the sources: ranges, names, and how they are shown."""

from collections.abc import Sequence

import pytest

from bench.core.errors import RequestError
from bench.plugins import source_of
from tests.conftest import Bench
from tests.support.source_options import options_of

NEEDED = {
    "real": {},
    "folder": {"path": "p", "filter__model": "m"},
    "retrieved": {"pool": "p", "filter__model": "m"},
    "synthetic": {"generation__model": "g", "filter__model": "m"},
}


@pytest.mark.parametrize(
    ("source", "option", "values"),
    [
        *((name, "image_size", (0, -1)) for name in NEEDED),
        *((name, "suffix", ("png", ".webp")) for name in NEEDED),
        *(("retrieved", name, (0,)) for name in ("shard_size", "threads", "timeout_s")),
        *(("synthetic", name, (0,)) for name in ("generation__shard_size", "block_size")),
        *(("synthetic", name, (0,)) for name in ("captions__shard_size", "batch_size")),
        *(("synthetic", name, (0, -8)) for name in ("size", "steps", "height")),
        ("retrieved", "retries", (-1,)),
        ("retrieved", "quality", (0, 101)),
        ("retrieved", "tau", (-1.1, 1.1, float("nan"))),
        ("synthetic", "guidance", (-0.1, float("nan"))),
        ("synthetic", "dtype", ("fp8",)),
        ("folder", "max_distance", (-1, 257)),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(
    source: str, option: str, values: Sequence[object]
) -> None:
    source_of(source, options_of(source, **NEEDED[source]))
    name = option.replace("__", ".")
    for value in values:
        with pytest.raises(RequestError, match=rf"the source {source}: ([a-z]+\.)?{name}: "):
            source_of(source, options_of(source, **NEEDED[source], **{option: value}))


def test_showing_a_source_tells_what_is_required_and_what_is_the_default(bench: Bench) -> None:
    lines = bench("show", "mixed").out.splitlines()
    assert "  parts = required" in lines
    assert "  options = {}" in lines
    lines = bench("show", "retrieved").out.splitlines()
    assert "  filter.rule = 'threshold' (or class-threshold, top-fraction)" in lines
    assert "  filter.cap = 10000 (top-fraction)" in lines
