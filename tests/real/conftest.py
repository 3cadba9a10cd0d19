"""What the tests on real pictures share: built once a session, by whichever process asks first."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import pytest
from filelock import FileLock

from tests.real import pictures
from tests.real.packages import UnavailableError
from tests.real.pictures import Picture
from tests.real.tasks import write_emoji_task

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and leave them out unless they are asked for by ``-m``."""
    here = [item for item in items if item.path.is_relative_to(HERE)]
    for item in here:
        item.add_marker(pytest.mark.real)
    if "real" not in config.option.markexpr:
        config.hook.pytest_deselected(items=here)
        items[:] = [item for item in items if item not in here]


@contextmanager
def available() -> Iterator[None]:
    """Skip what needs a package that cannot be had."""
    try:
        yield
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of the session share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "real"
    folder.mkdir(exist_ok=True)
    return folder


def _made_once(shared: Path, name: str, make: Callable[[], list[Picture]]) -> list[Picture]:
    file = shared / f"{name}.msgpack"
    with FileLock(f"{file}.lock"), available():
        if not file.is_file():
            file.write_bytes(msgspec.msgpack.encode(make()))
        return msgspec.msgpack.decode(file.read_bytes(), type=list[Picture])


@pytest.fixture(scope="session")
def emoji(shared: Path) -> list[Picture]:
    """Emoji of three vendors."""
    return _made_once(shared, "emoji", pictures.emoji)


@pytest.fixture(scope="session")
def foods(shared: Path) -> list[Picture]:
    """Photographs of foods."""
    return _made_once(shared, "foods", pictures.foods)


@pytest.fixture(scope="session")
def photos(shared: Path) -> list[Picture]:
    """Photographs of animals, tools, buildings and words."""
    return _made_once(shared, "photos", pictures.photos)


@pytest.fixture(scope="session")
def emoji_task(shared: Path, emoji: list[Picture]) -> Path:
    """A task's folder: train of one vendor, val and test of another, and a third one shifted."""
    folder = shared / "emoji-groups"
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            write_emoji_task(folder, emoji)
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 256  # img2dataset has hundreds of connections at once.


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback; yield ADDRESS:PORT."""
    with _Server(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
