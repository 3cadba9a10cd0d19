"""The download from hostile servers: what is refused, bounded, retried, resumed."""

import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from bench.core.errors import BenchError, RequestError
from bench.core.intervals import wilson
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.plugins import source_of
from bench.storage.image_codec import ImageFormat
from bench.tasks import find_task
from sources.download.preflight import forecast
from tests.conftest import Web
from tests.support.contexts import context
from tests.support.hostile_web import ONCE, ROSES, SMALL, HostileServer, fetch, serving
from tests.support.pools import write_pool
from tests.support.tiny_clip import colour_task

MINI = find_task("mini-aircraft")


ENDS = {
    None: "fine theirs nofollow first/429 first/503 to/fine",
    "not an image": "html empty half.png half.jpg program",
    "too large": "bomb scans claim see-through endless huge",
    "cut short": "short",
    "timeout": "silent drip drip-headers",
    "bad response": "garbage long-header",
    "opted out": "noai ours",
    "http 404": "status/404",
    "http 403": "status/403",
    "http 9xx": "status/999",
    "http 500": "status/500",
    "bad redirect": "to/loop to/file",
    "bad address": "to/ftp",
}
WITHIN = {path: end for end, paths in ENDS.items() for path in paths.split()}
"""Path on the server that is allowed to how its download ends after one retry."""

BEYOND = {
    "inner": "http://127.0.0.1:{port}/a",
    "name": "http://localhost:{port}/b",
    "decimal": "http://2130706433:{port}/c",
    "hexadecimal": "http://0x7f.1:{port}/d",
    "octal": "http://0177.0.0.1:{port}/e",
    "two-parts": "http://127.1:{port}/f",
    "escaped": "http://%31%32%37.0.0.1:{port}/g",
    "mapped": "http://[::ffff:127.0.0.1]:{port}/h",
    "any": "http://0.0.0.0:{port}/i",
    "metadata": "http://169.254.169.254/latest/meta-data",
}
"""Spellings of addresses that are not public; a server listens at all but one."""


Outcomes = tuple[HostileServer, HostileServer, dict[str, str | None]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    """The server that is allowed, another beside it, and how all downloads ended."""
    home = Home(tmp_path_factory.mktemp("hostile"))
    with serving() as outer, serving() as inner:
        beyond = {name: url.format(port=inner.server_port) for name, url in BEYOND.items()}
        outer.targets = {
            **beyond,
            "fine": outer.url("fine?moved"),
            "loop": outer.url("to/loop"),
            "file": "file:///etc/hostname",
            "ftp": f"ftp://{inner.endpoint}/x.png",
        }
        paths = [*WITHIN, *(f"to/{name}" for name in BEYOND)]
        names = {outer.url(path): path for path in paths} | {beyond[name]: name for name in BEYOND}
        options: Json = {"retries": 1, "deadline_s": 4, "threads": 16}
        fetched = fetch(home, [*names], allow_private=[outer.endpoint], **options)
        yield outer, inner, {names[url]: failure for url, (failure, _) in fetched.items()}


@pytest.mark.slow
def test_a_wrong_response_costs_one_row_and_has_a_kind(outcomes: Outcomes) -> None:
    _, _, failures = outcomes
    assert {name: failures[name] for name in WITHIN} == WITHIN


@pytest.mark.slow
def test_private_addresses_are_refused_however_they_are_spelt(outcomes: Outcomes) -> None:
    _, inner, failures = outcomes
    for name in BEYOND:
        assert failures[name] == failures[f"to/{name}"] == "refused address", name
    assert not inner.requests


@pytest.mark.slow
def test_only_transient_failures_are_retried(outcomes: Outcomes) -> None:
    requests = outcomes[0].requests
    retried = {"status/500", "first/429", "first/503", "short", "silent", "drip", "drip-headers"}
    for path in set(WITHIN) - {"to/loop", "fine"}:
        assert requests[path] == (2 if path in retried else 1), path


@pytest.mark.slow
def test_parts_fetched_in_parallel_keep_the_policy_and_the_result(home: Home) -> None:
    same = ("fine", "html", "first/503", "status/404")
    expected = {name: WITHIN[name] for name in same}
    expected |= {"to/inner": "refused address", "small": None}
    with serving() as outer, serving() as inner:
        outer.targets = {"inner": inner.url("x")}
        urls = {path: outer.url(path) for path in expected}
        options: Json = {"processes": 2, "retries": 1}
        fetched = fetch(home, [*urls.values()], allow_private=[outer.endpoint], **options)
    assert {path: fetched[url][0] for path, url in urls.items()} == expected
    assert not inner.requests


@pytest.mark.slow
def test_images_keep_their_shape_unless_the_authors_border_is_requested(tmp_path: Path) -> None:
    with serving() as server:
        urls = [server.url("fine"), server.url("small")]
        kept, padded = (
            fetch(Home(tmp_path / fit), urls, images=images, allow_private=[server.endpoint])
            for fit in ("keep", "border")
            for images in [ImageFormat(size=16, suffix=".png", fit=fit)]
        )
    fine, small = (white(kept[url][1]) for url in urls)
    assert (fine.shape, small.shape) == ((16, 51), (10, 10))
    assert not fine.any()
    fine, small = (white(padded[url][1]) for url in urls)
    assert fine.shape == small.shape == (16, 16)
    bars = [*range(5), *range(10, 16)]
    assert fine[bars].all()
    assert not fine[5:10].any()
    assert not small.any()


def white(image: Image.Image | None) -> Any:
    """Return which pixels are white, bool ``[h, w]``."""
    assert image is not None
    return (np.asarray(image) == 255).all(axis=2)


@pytest.mark.slow
def test_an_outage_is_not_a_result_and_the_next_attempt_continues(home: Home) -> None:
    with serving() as server:
        pass
    urls = [server.url("a"), server.url("b")]
    with pytest.raises(BenchError, match=r"no image could be .* refused.*network"):
        fetch(home, urls, allow_private=[server.endpoint])
    with serving(server.server_port):
        fetched = fetch(home, urls, allow_private=[server.endpoint])
    assert [failure for failure, _ in fetched.values()] == [None, None]


def retrieved(pool: Path | str, clip: Path, **download: Any) -> Json:
    """Return options of the source: every image that can be fetched is kept."""
    keep_all = {"rule": "threshold", "model": str(clip), "tau": -1}
    images = msgspec.to_builtins(SMALL)
    fetching = {**ONCE, **download}
    return {"pool": str(pool), "filter": keep_all, "images": images, "download": fetching}


@pytest.mark.slow
def test_dead_links_give_an_empty_counted_set(home: Home, tmp_path: Path, tiny_clip: Path) -> None:
    with serving() as server:
        rows = [(server.url(f"status/410?{i}"), "a rose", "UNLIKELY") for i in range(3)]
        pool = write_pool(tmp_path / "pool", rows)
        options = retrieved(pool.root, tiny_clip, allow_private=[server.endpoint])
        task = msgspec.structs.replace(colour_task(), class_names=ROSES.class_names)
        images = source_of("retrieved", options).collect(context(home, task))
    counts = images.manifest.stage_counts
    assert len(images) == 0
    assert (counts["matched"], counts["fetched"], counts["failed"]) == (3, 0, {"http 410": 3})
    nothing = {"matched": 0, "fetched": 0, "decodable": 0, "kept": 0, "failed": {}}
    dead = {**nothing, "matched": 3, "failed": {"http 410": 3}}
    assert counts["classes"] == {"rose": dead, "lily": nothing, "MD-11": nothing}
    with pytest.raises(RequestError, match="has 0"):
        images.select(1, 0, "random")


@pytest.mark.slow
def test_counts_add_up_class_by_class(web: Web, tiny_clip: Path, home: Home) -> None:
    source = source_of("retrieved", retrieved(web.pool, tiny_clip, allow_private=[web.host]))
    images = source.collect(context(home, MINI))
    counts = images.manifest.stage_counts
    classes = counts["classes"]
    for of_class in classes.values():
        assert of_class["matched"] - sum(of_class["failed"].values()) == of_class["fetched"]
        assert of_class["fetched"] >= of_class["decodable"] >= of_class["kept"]
    failed = sum((Counter(of_class["failed"]) for of_class in classes.values()), Counter[str]())
    assert failed == counts["failed"]
    for step in ("matched", "fetched", "decodable", "kept"):
        assert sum(of_class[step] for of_class in classes.values()) == counts[step] > 0
    kept = {name: of_class["kept"] for name, of_class in classes.items()}
    assert kept == images.manifest.counts


@pytest.mark.slow
def test_a_proxy_gets_no_private_address(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    far = "http://images.invalid/1.png"
    private = ["http://127.0.0.1:9/a", "http://2130706433/b", "http://%31%32%37.0.0.1/c"]
    log = io.StringIO()
    with serving() as proxy, serving() as server:
        monkeypatch.setenv("http_proxy", f"http://{proxy.endpoint}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        urls = [far, *private, server.url("own")]
        fetched = fetch(home, urls, log, allow_private=[server.endpoint])
    assert fetched[far][0] is None
    assert [fetched[url][0] for url in private] == ["refused address"] * 3
    assert proxy.requests == {far: 1}
    assert server.requests["own"] == 1
    assert "through the environment's proxy" in log.getvalue()


@pytest.mark.parametrize(("threads", "hours"), [(40, (12.5, 50)), (5, (50, 50))])
def test_more_threads_may_take_fewer_hours(threads: int, hours: tuple[float, float]) -> None:
    measured = {"sample": 100, "fetched": 70, "seconds": 18.0, "threads": 10}
    expected = forecast(measured, 1_000_000, threads)
    assert (expected["hours_low"], expected["hours_high"]) == hours


@pytest.mark.slow
def test_a_long_list_is_sampled_once_and_its_yield_forecast(home: Home) -> None:
    log = io.StringIO()
    with serving() as server:
        urls = [server.url(f"{'fine' if i % 2 else 'status/404'}?{i}") for i in range(80)]
        options: Json = {"allow_private": [server.endpoint], "preflight": 8, "timeout_s": 60}
        fetched = fetch(home, urls, log, **options)
        assert server.requests.total() == 88
        for stage in home.data.glob("download-*"):
            (stage / "done.json").unlink()
        fetch(home, urls, log, **options)
        assert server.requests.total() == 88
    assert sum(failure is None for failure, _ in fetched.values()) == 40
    (folder,) = home.data.glob("preflight-*")
    noted = msgspec.json.decode((folder / "done.json").read_bytes())["info"]
    assert noted["sample"] == noted["fetched"] + noted["failed"]["http 404"] == 8
    interval = [round(bound, 4) for bound in wilson(noted["fetched"], 8)]
    assert [noted["share_low"], noted["share_high"]] == interval
    text = log.getvalue()
    assert f"preflight: {noted['fetched']} of 8 images" in text
    assert re.search(r"after about [\d.,]+( \w+)?( to [\d.,]+)? (s|min) with one worker", text)


@pytest.mark.slow
def test_a_preflight_without_an_image_stops_before_the_download(home: Home) -> None:
    with serving() as server:
        urls = [server.url(f"status/403?{i}") for i in range(50)]
        options: Json = {"allow_private": [server.endpoint], "timeout_s": 60}
        with pytest.raises(BenchError, match=r"none of a sample of 5 .*: 5 http 403; .*preflight"):
            fetch(home, urls, **options, preflight=5)
        assert server.requests.total() == 5
        assert not list(home.data.glob("download-*"))
        fetched = fetch(home, urls, **options, preflight=0)
    assert {failure for failure, _ in fetched.values()} == {"http 403"}
