"""Failed downloads: what may pass is tried again, what may not is asked once, nothing is lost."""

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.core.errors import RequestError, TooFewImagesError
from bench.core.json_values import Json
from bench.core.paths import Home
from bench.plugins import source_of
from bench.storage.image_set import ImageSet
from bench.tasks import find_task
from sources.download.attempts import PAUSE_S
from sources.download.failures import KINDS, is_transient, may_pass
from sources.retrieved import Retrieved
from tests.conftest import command, environment
from tests.support.command_line import until
from tests.support.contexts import context
from tests.support.hostile_web import ONCE, ROSES, SMALL, HostileServer, serving
from tests.support.pools import write_pool
from tests.support.tiny_clip import colour_task

MINI = find_task("mini-aircraft")
TASK = msgspec.structs.replace(colour_task(), class_names=ROSES.class_names)
GOOD = 6


def source(home: Home, server: HostileServer, clip: Path, **download: Any) -> Retrieved:
    """Return a source whose pool has good links, and dead ones."""
    paths = [*(f"noise/{seed}" for seed in range(GOOD)), "status/404", "html"]
    rows = [(server.url(path), "a rose", "UNLIKELY") for path in paths]
    pool = write_pool(home.root / "pool", rows)
    download = {**ONCE, "timeout_s": 2, "allow_private": [server.endpoint], **download}
    keep_all = {"rule": "threshold", "model": str(clip), "tau": -1}
    options: Json = {"pool": str(pool.root), "filter": keep_all, "download": download}
    found = source_of("retrieved", options | {"images": msgspec.to_builtins(SMALL)})
    assert isinstance(found, Retrieved)
    return found


def collect(home: Home, found: Retrieved, n: int | None = GOOD) -> ImageSet:
    return found.collect(context(home, TASK).with_n(n))


def undisturbed(tmp_path: Path, clip: Path, server: HostileServer) -> ImageSet:
    home = Home(tmp_path / "undisturbed")
    return collect(home, source(home, server, clip))


def facts(images: ImageSet) -> tuple[Json, list[Json]]:
    """Return an image set without the places of its pool and of its images."""
    columns = ("key", "label", "sha256", "caption")
    manifest = msgspec.structs.replace(images.manifest, options={})
    return msgspec.to_builtins(manifest), images.index().select(columns).to_dicts()


def age(home: Home) -> None:
    """Make every attempt an old one."""
    then = time.time() - PAUSE_S - 1
    for done in home.data.glob("download-*/done.json"):
        os.utime(done, (then, then))


def test_every_kind_that_passes_within_seconds_passes_later() -> None:
    assert all(may_pass(kind) for kind in KINDS if is_transient(kind))
    permanent = {"not an image", "too large", "opted out", "http 404", "http 403", "http 410"}
    assert not any(map(may_pass, permanent))
    assert may_pass("refused address")


@pytest.mark.slow
def test_servers_that_recover_give_what_an_undisturbed_download_gives(
    home: Home, tmp_path: Path, tiny_clip: Path
) -> None:
    with serving() as server:
        server.down = True
        found = source(home, server, tiny_clip)
        images = collect(home, found)
        assert images.manifest.counts["rose"] == 0
        with pytest.raises(RequestError, match=r"6 of 8 matched .* 'http 503'; .*--retry-failed"):
            images.select(GOOD, 0, "random")
        server.down = False
        age(home)
        mended = collect(home, found)
        asked = server.requests.copy()
        assert asked["status/404"] == asked["html"] == 1
        assert collect(home, found).manifest == mended.manifest
        assert server.requests == asked
        assert facts(mended) == facts(undisturbed(tmp_path, tiny_clip, server))
    assert len(mended.select(GOOD, 0, "random")) == GOOD


@pytest.mark.slow
def test_a_command_tries_again_at_most_once_and_not_within_the_pause(
    home: Home, tiny_clip: Path
) -> None:
    with serving() as server:
        server.down = True
        found = source(home, server, tiny_clip)
        for asked in (1, 2, 2):  # The second command needs the images; the third comes too soon.
            collect(home, found)
            assert server.requests["noise/0"] == asked
        age(home)
        collect(home, found)
        assert server.requests["noise/0"] == 3


@pytest.mark.slow
def test_enough_images_are_not_tried_again_unless_asked(home: Home, tiny_clip: Path) -> None:
    with serving() as server:
        server.down = True
        found = source(home, server, tiny_clip)
        assert not found.retry_failed(context(home, TASK))
        assert len(collect(home, found, None)) == 0
        server.down = False
        assert found.retry_failed(context(home, TASK))
        assert len(collect(home, found, None)) == GOOD
        assert not found.retry_failed(context(home, TASK))


@pytest.mark.slow
def test_a_setting_that_mends_a_failure_is_enough(home: Home, tiny_clip: Path) -> None:
    with serving() as server:
        images = collect(home, source(home, server, tiny_clip, allow_private=[]))
        with pytest.raises(RequestError, match=r"8 of 8 matched .* 'refused address'") as refused:
            images.select(1, 0, "random")
        assert f"allow_private='[\"{server.endpoint}\"]'" in refused.value.fix
        assert not server.requests
        assert len(collect(home, source(home, server, tiny_clip), None)) == GOOD


@pytest.mark.slow
def test_more_patience_mends_a_timeout(home: Home, tiny_clip: Path) -> None:
    with serving() as server:
        rows = [(server.url("silent"), "a rose", None), (server.url("noise/1"), "a rose", None)]
        write_pool(home.root / "pool", rows)
        for timeout_s, asked in ((1, 1), (1, 1), (2, 2), (2, 2), (1, 2)):
            patient = source_of("retrieved", options(home, server, tiny_clip, timeout_s))
            assert len(patient.collect(context(home, TASK))) == 1
            assert server.requests["silent"] == asked


@pytest.mark.slow
def test_more_patience_is_one_attempt_also_where_too_few_images_are_left(
    home: Home, tiny_clip: Path
) -> None:
    with serving() as server:
        rows = [(server.url(path), "a rose", None) for path in ("silent", "status/404")]
        write_pool(home.root / "pool", rows)
        for timeout_s, asked in ((1, 1), (2, 2)):
            patient = source_of("retrieved", options(home, server, tiny_clip, timeout_s))
            patient.collect(context(home, TASK).with_n(1))
            assert server.requests["silent"] == asked


def options(home: Home, server: HostileServer, clip: Path, timeout_s: int) -> Json:
    keep_all = {"rule": "threshold", "model": str(clip), "tau": -1}
    download = {**ONCE, "timeout_s": timeout_s, "allow_private": [server.endpoint]}
    pool, images = str(home.root / "pool"), msgspec.to_builtins(SMALL)
    return {"pool": pool, "filter": keep_all, "download": download, "images": images}


@pytest.mark.slow
def test_too_few_names_the_commonest_loss(home: Home, tiny_clip: Path) -> None:
    with serving() as server:
        images = collect(home, source(home, server, tiny_clip), None)
    with pytest.raises(TooFewImagesError, match=r"has 6 for .*: 1 of 8 matched images failed"):
        images.select(GOOD + 1, 0, "random")


@pytest.mark.slow
def test_the_command_line_mends_a_refusal_and_a_kill_between_attempts_costs_nothing(
    home: Home, preset: Path, tmp_path: Path
) -> None:
    def build(root: Path, *more: str) -> subprocess.Popen[bytes]:
        words = ["build", "--source", "retrieved", "--task", "mini-aircraft", "--preset"]
        settings = ("source.download.retries=0", f"source.pool={home.root / 'pool'}", *more)
        words += [str(preset), "--n", "6"]
        words += [word for text in settings if text[0] != "-" for word in ("--set", text)]
        words += [text for text in settings if text[0] == "-"]
        out, env = subprocess.PIPE, environment(root)
        return subprocess.Popen(command(*words), env=env, stdout=out, stderr=subprocess.STDOUT)

    with serving() as server:
        rows = [(server.url(f"noise/{seed}"), MINI.class_names[0], None) for seed in range(GOOD)]
        write_pool(home.root / "pool", rows)
        refused, _ = build(home.root).communicate()
        assert re.search(rb"\b0 images of retrieved", refused), refused
        assert b"tried again" not in refused
        allowed = f'source.download.allow_private=["{server.endpoint}"]'
        server.down = True
        assert build(home.root, allowed).wait() == 0
        server.down = False
        killed = build(home.root, allowed, "--retry-failed")
        until(lambda: len(list(home.data.glob("download-*/plan.json"))) == 3, poll=0.05)
        killed.kill()
        killed.wait()
        last, _ = build(home.root, allowed).communicate()
        assert build(tmp_path / "calm", allowed).wait() == 0
    assert re.search(rb"\b6 images of retrieved", last), last
    assert contents_of(home.root) >= contents_of(tmp_path / "calm")


def contents_of(root: Path) -> set[str]:
    """Return the hashes of the image sets that have all images."""
    manifests = (root / "data").glob("images-*/manifest.json")
    found = [json.loads(path.read_bytes()) for path in manifests]
    return {each["content"] for each in found if sum(each["counts"].values()) == GOOD} or {"none"}
