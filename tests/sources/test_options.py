"""Options of the sources: ranges, names, and how they are shown."""

from collections.abc import Sequence

import pytest

from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.plugins import source_of
from tests.conftest import Bench
from tests.support.source_options import options_of

NEEDED: dict[str, Json] = {
    "real": {},
    "folder": {"path": "p", "filter__model": "m"},
    "retrieved": {"pool": "p", "filter__model": "m"},
    "synthetic": {"generation__model": "g", "filter__model": "m"},
    "denoised": {"generation__model": "g", "filter__model": "m", "of": "real", "strength": 0.1},
}


@pytest.mark.parametrize(
    ("source", "option", "values"),
    [
        *((name, "images__size", (0, -1)) for name in NEEDED),
        *((name, "suffix", ("png", ".webp")) for name in NEEDED),
        *((name, "fit", ("squeeze",)) for name in NEEDED),
        *(("retrieved", name, (0,)) for name in ("shard_size", "threads", "timeout_s")),
        *(("synthetic", name, (0,)) for name in ("generation__shard_size", "block_size")),
        *(("synthetic", name, (0,)) for name in ("captions__shard_size", "batch_size")),
        *(("synthetic", name, (0, -8)) for name in ("size", "steps", "height")),
        *((name, "quality", (0, 101)) for name in NEEDED),
        ("retrieved", "retries", (-1,)),
        ("retrieved", "tau", (-1.1, 1.1, float("nan"))),
        ("synthetic", "guidance", (-0.1, float("nan"))),
        ("synthetic", "dtype", ("fp8",)),
        ("synthetic", "images_per_caption", (0,)),
        ("synthetic", "safety", ("maybe",)),
        ("folder", "max_distance", (-1, 257)),
        ("denoised", "strength", (0.0,)),
    ],
)
def test_options_out_of_range_are_named(source: str, option: str, values: Sequence[object]) -> None:
    source_of(source, options_of(source, **NEEDED[source]))
    name = option.replace("__", ".")
    for value in values:
        with pytest.raises(RequestError, match=rf"the source {source}: ([a-z]+\.)?{name}: "):
            source_of(source, options_of(source, **{**NEEDED[source], option: value}))


CONTRADICTIONS: dict[str, list[tuple[Json, str]]] = {
    "retrieved": [
        ({"tau": 0.2, "rule": "top-fraction"}, "filter.tau means nothing to rule=top-fraction"),
        ({"cap": 9}, "filter.cap means nothing to rule=threshold; leave it out"),
        ({"fraction": 0.5, "rule": "class-threshold"}, "filter.fraction means nothing"),
        ({"fraction": 0, "rule": "top-fraction"}, "filter.fraction: "),
        ({"cap": 0, "rule": "top-fraction"}, "filter.cap: "),
        ({"rule": "top"}, "filter.rule: .*'top'; .*there are: threshold, class-threshold, top-f"),
        ({"rule": "treshold"}, "did you mean threshold"),
        ({"filter__tao": 0.2}, "unknown setting of filter of .*'tao'; did you mean tau?"),
        ({"filter__qqq": 0.2}, "there are: drop_train_copies, model, rule, tau"),
    ],
    "synthetic": [
        ({"tau": 0.2}, "tau means nothing to rule=none"),
        ({"rule": "threshold", "cap": 3}, "cap means nothing to rule=threshold"),
    ],
    "denoised": [
        ({"of": "denoised"}, "'denoised' has no images to denoise"),
        ({"of": "none"}, "'none' has no images to denoise"),
        ({"steps": 5}, "5 steps of strength 0.1 are less than one step"),
        ({"template": "a photo"}, "needs one {}"),
    ],
}


@pytest.mark.parametrize(
    ("source", "given", "why"),
    [(source, *row) for source, rows in CONTRADICTIONS.items() for row in rows],
)
def test_contradicting_options_are_refused(source: str, given: Json, why: str) -> None:
    with pytest.raises(RequestError, match=why):
        source_of(source, options_of(source, **{**NEEDED[source], **given}))


def test_showing_a_source_tells_what_is_required_and_what_is_the_default(bench: Bench) -> None:
    shown = bench("show", "mixed").out
    assert "\n  parts = required  (mapping)\n" in shown
    assert "\n  options = {}  (mapping)\n" in shown
    shown = bench("show", "retrieved").out
    assert "\n  filter.rule = threshold  (threshold | class-threshold | top-fraction)\n" in shown
    assert "\n  filter.cap = 10000  (whole number at least 1; of top-fraction)\n" in shown
