"""What is fetched is what is pinned; what cannot be fetched is said."""

import zipfile
from pathlib import Path

import pytest

from tests.real.packages import Package, UnavailableError, unpacked

WHEEL = "real_pictures-1.0-py3-none-any.whl"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("BENCH_TEST_REAL_CACHE", str(folder))
    return folder


@pytest.mark.parametrize(
    ("client", "setting"), [("npm", "npm_config_registry"), ("pypi", "PIP_INDEX_URL")]
)
def test_an_index_that_is_not_there_is_said(
    client: str, setting: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (setting, setting.upper()):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    package = Package(client, "real-pictures", "1.0", "real-pictures-1.0.tgz", "")  # type: ignore[arg-type]
    with pytest.raises(UnavailableError, match="real-pictures"):
        unpacked(package)


def test_another_file_under_the_pinned_name_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with zipfile.ZipFile(tmp_path / WHEEL, "w") as wheel:
        about = "Metadata-Version: 2.1\nName: real-pictures\nVersion: 1.0\n"
        wheel.writestr("real_pictures-1.0.dist-info/METADATA", about)
        wheel.writestr("real_pictures-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    with pytest.raises(ValueError, match="expected the SHA-256 0000, found"):
        unpacked(Package("pypi", "real-pictures", "1.0", WHEEL, "0000"))
    assert not list(cache.glob("*.whl"))
