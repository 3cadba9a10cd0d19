"""Members of a tar: the same as tarfile's in every format, and damage is named."""

import contextlib
import gzip
import io
import random
import tarfile
from pathlib import Path

import pytest

from bench.storage.tar_members import DamagedTarError, TarMember, tar_members

NAMES = (
    "0.jpg",
    "folder/1.jpg",
    "n" * 99 + "/" + "m" * 120,
    "deep/" * 40 + "2.jpg",
    "\u00e9 \u6f22.jpg",
    "empty",
    "../../etc/passwd",
    "/absolute",
)


def write(path: Path, kind: int, names: tuple[str, ...] = NAMES) -> dict[str, bytes]:
    contents = {name: name.encode() * (at * 37) for at, name in enumerate(names)}
    with tarfile.open(path, "w", format=kind, pax_headers={"comment": "all"}) as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
            folder, link = tarfile.TarInfo(f"{len(name)}/"), tarfile.TarInfo(f"link{len(name)}")
            folder.type, link.type, link.linkname = tarfile.DIRTYPE, tarfile.SYMTYPE, "0.jpg"
            tar.addfile(folder)
            tar.addfile(link)
    return contents


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_file_of_every_format_is_found(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "a.tar"
    contents = write(path, kind)
    whole = path.read_bytes()
    found = {name: whole[at : at + size] for name, at, size in tar_members(path)}
    assert found == contents


def test_a_ustar_prefix_and_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    long = "d" * 90 + "/" + "e" * 90 + ".jpg"
    contents = write(path, tarfile.USTAR_FORMAT, (long, "last"))
    whole = path.read_bytes()
    assert [whole[at : at + size] for _, at, size in tar_members(path)] == [*contents.values()]
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("\udcff.jpg"))
    assert [member.name for member in tar_members(path)] == ["\\xff.jpg"]


def test_what_is_no_whole_tar_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write(path, tarfile.GNU_FORMAT, ("a.jpg", "b.jpg", "c.jpg"))
    whole = path.read_bytes()
    members = list(tar_members(path))
    assert [member.name for member in members] == ["a.jpg", "b.jpg", "c.jpg"]
    header = members[2].offset - 512
    cases = {
        "it is compressed": (gzip.compress(whole), 0),
        "it is empty": (b"", 0),
        "it is no tar": (b"x" * 2000, 0),
        r"cut short within 'c\.jpg'": (whole[: members[2].offset + 10], 2),
        "its end mark is missing": (whole[:header], 2),
        "it is damaged at byte": (whole[:header] + b"\xff" * 512 + whole[header + 512 :], 2),
    }
    for complaint, (content, count) in cases.items():
        path.write_bytes(content)
        found: list[TarMember] = []
        with pytest.raises(DamagedTarError, match=complaint):
            found.extend(iter_into(path, found))
        assert found == members[:count]


def iter_into(path: Path, found: list[TarMember]) -> list[TarMember]:
    """Add members to a list as they come, so that those before the damage are seen."""
    for member in tar_members(path):
        found.append(member)  # noqa: PERF402
    return []


def test_a_damaged_byte_in_a_header_is_never_another_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write(path, tarfile.GNU_FORMAT, ("a.jpg", "b.jpg"))
    whole, honest = path.read_bytes(), set(tar_members(path))
    rng = random.Random(0)
    for _ in range(300):
        at = rng.randrange(512)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ rng.randrange(1, 256)]) + whole[at + 1 :])
        found: list[TarMember] = []
        with contextlib.suppress(DamagedTarError):
            iter_into(path, found)
        assert set(found) <= honest, at


def resized(block: bytes, size: bytes, checksum: bytes = b"") -> bytes:
    """Return a header with another size, and the checksum that fits it or another."""
    blank = block[:124] + size + block[136:148] + b" " * 8 + block[156:]
    return blank[:148] + (checksum or b"%06o\0 " % sum(blank)) + blank[156:]


@pytest.mark.parametrize("size", [b"-0000004000\0", b"-0000000001\0", b"\xff" * 11 + b"\x01"])
def test_a_size_below_nothing_is_damage(tmp_path: Path, size: bytes) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name in ("first", "second", "third"):
            tar.addfile(tarfile.TarInfo(name))
    whole = path.read_bytes()
    path.write_bytes(whole[:512] + resized(whole[512:1024], size) + whole[1024:])
    members = tar_members(path)
    assert next(members).name == "first"
    with pytest.raises(DamagedTarError, match="damaged at byte 512"):
        next(members)


def test_a_checksum_that_is_no_octal_number_and_headers_of_headers_are_damage(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("first"))
    whole = path.read_bytes()
    path.write_bytes(resized(whole[:512], b"00000000000\0", b"009999\0 ") + whole[512:])
    with pytest.raises(DamagedTarError, match="it is no tar"):
        next(tar_members(path))
    about = tarfile.TarInfo("x")
    about.type = tarfile.XHDTYPE
    path.write_bytes(about.tobuf(tarfile.USTAR_FORMAT) * 3000 + bytes(1024))
    with pytest.raises(DamagedTarError, match="it is no tar"):
        next(tar_members(path))
