"""Downloads whose processes are killed: nothing is lost, repeated or left running."""

import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from bench.core.paths import Home
from bench.storage.stage import Stage
from bench.tasks import find_task
from sources.download.download import download
from sources.download.options import DownloadOptions
from sources.pool.pool import Pool
from sources.pool.scan import scan
from tests.conftest import Web, command, environment
from tests.support.command_line import until
from tests.support.hostile_web import ONCE, SMALL, serving
from tests.support.pools import context, write_pool

MINI = find_task("mini-aircraft")


def build(home: Home, preset: Path, **settings: object) -> subprocess.Popen[bytes]:
    """Start a build of the source in a process of its own."""
    words = ["build", "--source", "retrieved", "--task", MINI.name, "--preset", str(preset)]
    for name, value in settings.items():
        words += ["--set", f"source.{name.replace('__', '.')}={value}"]
    return subprocess.Popen(command(*words), env=environment(home.root), stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_killed_workers_lose_no_image(web: Web, preset: Path, home: Home, tmp_path: Path) -> None:
    chance = random.Random(0)
    calm = undisturbed(web, Home(tmp_path / "calm"))

    def start() -> subprocess.Popen[bytes]:
        options = {"download__retries": 0, "download__allow_private": [web.host]}
        return build(home, preset, pool=web.pool, **options)

    workers, killed = [start() for _ in range(2)], 0
    while killed < 2 and any(worker.poll() is None for worker in workers):
        # From the first shard on, so that a kill falls into the work and not into its imports.
        if list(home.data.glob("download-*/.0*-*")):
            time.sleep(chance.uniform(0, 2))
            victim = chance.randrange(2)
            if workers[victim].poll() is None:
                workers[victim].send_signal(signal.SIGKILL)
                killed += workers[victim].wait() == -signal.SIGKILL
                workers[victim] = start()
        time.sleep(0.1)
    assert [worker.wait() for worker in workers] == [0, 0]
    assert killed
    stage = home.data / calm.key
    assert not list(stage.glob(".0*-*"))
    keys = pl.read_parquet(stage / "*/index.parquet")["key"].to_list()
    assert len(keys) == len(set(keys)) > 100
    for shard in calm.shards():
        for name in ("images.tar", "index.parquet"):
            assert (stage / shard.name / name).read_bytes() == (shard / name).read_bytes()
    until(lambda: not fetching(home.root), seconds=10)


def undisturbed(web: Web, home: Home) -> Stage:
    given = context(home, MINI)
    pool = Pool(str(web.pool), web.pool)
    options = DownloadOptions(**ONCE, shard_size=100, allow_private=(web.host,))  # As the preset.
    return download(pool, scan(pool, MINI, given), options, SMALL, given)[0]


def fetching(root: Path) -> list[str]:
    """Return the processes that fetch for a home."""
    commands = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            words = entry.read_bytes().decode(errors="replace")
            if "sources.download.worker" in words and str(root) in words:
                commands.append(words)
    return commands


@pytest.mark.slow
def test_a_killed_worker_takes_its_fetching_along(home: Home, preset: Path) -> None:
    with serving() as server:
        urls = [server.url(f"drip?{i}") for i in range(9)]
        pool = write_pool(home.root / "pool", [(url, MINI.class_names[0], None) for url in urls])
        process = build(home, preset, pool=pool.root, download__allow_private=[server.endpoint])
        until(lambda: server.requests or process.poll() is not None, poll=0.1)
        assert fetching(home.root)
        process.kill()
        process.wait()
        until(lambda: not fetching(home.root), seconds=10)
