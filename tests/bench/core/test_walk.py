"""One walk lists, hashes and names the files of a tree."""

import os
import unicodedata
from pathlib import Path

import pytest

from bench.core.errors import RequestError
from bench.core.files import fingerprint
from bench.core.walk import walk


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def names(root: Path, *suffixes: str) -> list[str]:
    return [name for name, _ in walk(root, suffixes).files]


def test_names_are_sorted_and_paths_open(tmp_path: Path) -> None:
    put(tmp_path, "b/2.png", "a/1.png", "0.txt")
    tree = walk(tmp_path)
    assert [name for name, _ in tree.files] == ["0.txt", "a/1.png", "b/2.png"]
    assert all(path.read_bytes() == name.encode() for name, path in tree.files)


def test_links_to_files_and_folders_are_followed_and_hashed(tmp_path: Path) -> None:
    put(tmp_path / "far", "cat/1.png")
    put(tmp_path / "near", "dog/1.png")
    (tmp_path / "near/cat").symlink_to(tmp_path / "far/cat")
    (tmp_path / "near/dog/2.png").symlink_to(tmp_path / "far/cat/1.png")
    assert names(tmp_path / "near") == ["cat/1.png", "dog/1.png", "dog/2.png"]
    before = fingerprint(tmp_path / "near")
    (tmp_path / "far/cat/1.png").write_bytes(b"another")
    assert fingerprint(tmp_path / "near") != before


def test_a_link_to_a_folder_around_itself_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a/b/1.png")
    (tmp_path / "a/b/back").symlink_to(tmp_path / "a")
    with pytest.raises(RequestError, match="back leads to a folder around it"):
        walk(tmp_path)


def test_one_folder_linked_twice_is_no_loop(tmp_path: Path) -> None:
    put(tmp_path / "far", "1.png")
    (tmp_path / "near").mkdir()
    for name in ("train", "test"):
        (tmp_path / "near" / name).symlink_to(tmp_path / "far")
    assert names(tmp_path / "near") == ["test/1.png", "train/1.png"]


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "1.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(RequestError, match=r"1\.png leads nowhere"):
        walk(tmp_path)


def test_hidden_and_system_files_change_neither_list_nor_hash(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png")
    before = fingerprint(tmp_path)
    put(tmp_path, "cat/._1.png", ".ipynb_checkpoints/2.png", "Thumbs.db", "__MACOSX/cat/3.png")
    put(tmp_path, "cat/@eaDir/1.png", ".DS_Store")
    tree = walk(tmp_path)
    assert [name for name, _ in tree.files] == ["cat/1.png"]
    assert tree.left_out == {"hidden": 3, "system": 3}
    assert fingerprint(tmp_path) == before


def test_other_suffixes_are_left_out_and_counted(tmp_path: Path) -> None:
    put(tmp_path, "1.PNG", "2.png", "3.heic", "4.HEIC", "README")
    tree = walk(tmp_path, (".png",))
    assert [name for name, _ in tree.files] == ["1.PNG", "2.png"]
    assert tree.left_out == {".heic": 2, "without suffix": 1}
    before = fingerprint(tmp_path, (".png",))
    put(tmp_path, "notes.txt")
    assert fingerprint(tmp_path, (".png",)) == before


def test_something_that_is_no_file_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "1.png")
    os.mkfifo(tmp_path / "2.png")
    tree = walk(tmp_path)
    assert [name for name, _ in tree.files] == ["1.png"]
    assert tree.left_out == {"special": 1}


def test_names_are_composed_whatever_the_file_system_made_of_them(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    put(tmp_path / "one", f"{composed}/1.png")
    put(tmp_path / "two", f"{decomposed}/1.png")
    (tmp_path / "two" / decomposed / "1.png").write_bytes(f"{composed}/1.png".encode())
    assert names(tmp_path / "two") == [f"{composed}/1.png"]
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two")
    put(tmp_path / "two", f"{composed}/2.png")
    assert names(tmp_path / "two") == [f"{composed}/1.png", f"{composed}/2.png"]
    put(tmp_path / "two", f"{composed}/1.png")
    with pytest.raises(RequestError, match="differ in their Unicode form alone"):
        walk(tmp_path / "two")


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "cat") + b"/cat\xe9.png")).write_bytes(b"")
    with pytest.raises(RequestError, match=r"b'cat\\xe9.png' in .*cat is not UTF-8; rename it"):
        fingerprint(tmp_path)


def test_a_single_file_is_its_own_tree(tmp_path: Path) -> None:
    put(tmp_path, "1.png")
    assert walk(tmp_path / "1.png").files == (("", tmp_path / "1.png"),)


def test_a_tree_without_a_bottom_is_refused(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(250):
        deep /= "a"
    deep.mkdir(parents=True)
    with pytest.raises(RequestError, match="is more than 200 folders deep"):
        walk(tmp_path)
