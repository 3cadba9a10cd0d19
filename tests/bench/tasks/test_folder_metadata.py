"""A folder whose classes are in a table, as Hugging Face's ImageFolder has it."""

import json
from pathlib import Path

import pytest

from bench.core.errors import RequestError
from bench.core.paths import Home
from bench.tasks import FolderTask
from tests.support.tiny_clip import square


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve images in one folder, and no table."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(12):
        square(index % 2, index).save(folder / f"{index:02}.png")
    return folder


def rows(**more: str) -> list[dict[str, str]]:
    names = ("cat", "dog")
    return [
        {"file_name": f"{index:02}.png", "label": names[index % 2], **more} for index in range(12)
    ]


def as_csv(content: list[dict[str, str]], mark: str = ",") -> str:
    lines = [mark.join(content[0])] + [mark.join(row.values()) for row in content]
    return "".join(f"{line}\n" for line in lines)


def as_jsonl(content: list[dict[str, str]]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in content)


def labels(task: FolderTask) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("train", "val", "test"):
        split = task.split(name, Home(Path("unused")))
        found |= {
            key: task.class_names[label]
            for key, label in zip(split.keys, split.labels, strict=True)
        }
    return found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.csv", as_csv(rows())),
        ("metadata.csv", "\ufeff" + as_csv(rows(), ";").replace("label", "LABEL", 1)),
        ("metadata.csv", as_csv(rows(text="a, b"), "\t").replace("\n", "\r\n")),
        ("metadata.jsonl", as_jsonl(rows(text="words"))),
        ("metadata.jsonl", as_jsonl(rows()).replace('"label": "cat"', '"label": 0, "class": "cat"')
         .replace('"label": "dog"', '"label": 1, "class": "dog"')),
    ],
)  # fmt: skip
def test_the_table_names_the_classes(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text, newline="")
    square(0, 99).save(root / "unnamed.png")
    task = FolderTask.load(root)
    assert task.class_names == ("cat", "dog")
    assert task.split_sizes == {"train": 8, "val": 2, "test": 2}
    assert labels(task) == {row["file_name"]: row["label"] for row in rows()}
    assert f"{root}: classes are those in {name}" in task.notes()
    assert f"{root}: 1 of 14 files not read: 1 in no table" in task.notes()


def test_a_column_gives_the_split(root: Path) -> None:
    splits = ["train"] * 6 + ["Validation"] * 2 + ["test"] * 4
    given = [{**row, "split": split} for row, split in zip(rows(), splits, strict=True)]
    (root / "metadata.csv").write_text(as_csv(given))
    task = FolderTask.load(root)
    assert task.split_sizes == {"train": 6, "val": 2, "test": 4}
    assert task.split("val", Home(root)).keys == ["06.png", "07.png"]
    before = task.content
    (root / "metadata.csv").write_text(as_csv(given).replace("01.png,dog", "01.png,cat"))
    assert FolderTask.load(root).content != before


def test_tables_in_split_folders_and_one_above_them_agree(root: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    for index, row in enumerate(rows()):
        part = "train" if index < 8 else "Test"
        (both / part / "images").mkdir(parents=True, exist_ok=True)
        square(index % 2, index).save(both / part / "images" / row["file_name"])
    inside = [{**row, "file_name": f"images/{row['file_name']}"} for row in rows()]
    (both / "train/metadata.jsonl").write_text(as_jsonl(inside[:8]))
    (both / "Test/metadata.csv").write_text(as_csv(inside[8:]))
    split = FolderTask.load(both)
    assert split.split_sizes == {"train": 6, "val": 2, "test": 4}
    (both / "train/metadata.jsonl").unlink()
    (both / "Test/metadata.csv").unlink()
    above = [
        {**row, "file_name": f"{'train' if index < 8 else 'Test'}\\{row['file_name']}"}
        for index, row in enumerate(inside)
    ]
    (both / "metadata.csv").write_text(as_csv(above))
    assert labels(FolderTask.load(both)) == labels(split)


def test_a_table_without_labels_is_said_and_left_to_the_folders(root: Path) -> None:
    for index in range(12):
        folder = root / ("dog" if index % 2 else "cat")
        folder.mkdir(exist_ok=True)
        (root / f"{index:02}.png").rename(folder / f"{index:02}.png")
    (root / "metadata.csv").write_text("file_name,text\ncat/00.png,a cat\n")
    task = FolderTask.load(root)
    assert task.class_names == ("cat", "dog")
    assert any("metadata.csv has no column `label` and is not read" in n for n in task.notes())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (as_csv(rows()) + "13.png,cat\n14.png,cat\n", "2 of 14 files that .* no images .*: 13.png"),
        (as_csv(rows()) + "00.png,dog\n", "line 14 gives '00.png' another class or split"),
        (as_csv(rows()) + "../up.png,dog\n", "'../up.png' leads out of the folder"),
        (as_csv(rows()) + "/etc/up.png,dog\n", "leads out of the folder"),
        (as_csv(rows()) + "00.png,\n", "line 14 has no label; every line"),
        (as_csv(rows()) + "00.png,cat,big\n", "line 14 has more fields than the header"),
        (as_csv(rows(split="holdout")), "has the split 'holdout'; write train, val, test"),
        ("image,label\n00.png,cat\n", "the columns 'image, label'; it needs file_name and label"),
        (as_csv(rows()).replace("dog", "cat"), "has 1 class;"),
        ('file_name,label\n"00.png,cat\n', "is not CSV"),
    ],
)
def test_a_wrong_table_is_one_line(root: Path, text: str, why: str) -> None:
    (root / "metadata.csv").write_text(text)
    with pytest.raises(RequestError, match=why):
        FolderTask.load(root)


def test_a_table_that_is_not_text_or_has_many_labels_is_refused(root: Path) -> None:
    (root / "metadata.csv").write_bytes("file_name,label\n00.png,café\n".encode("latin1"))
    with pytest.raises(RequestError, match="is not UTF-8; convert it"):
        FolderTask.load(root)
    (root / "metadata.csv").unlink()
    (root / "metadata.jsonl").write_text('{"file_name": "00.png", "label": ["cat", "dog"]}\n')
    with pytest.raises(RequestError, match="line 1 has no label that is a text"):
        FolderTask.load(root)
    (root / "metadata.csv").write_text(as_csv(rows()))
    with pytest.raises(RequestError, match=r"has both metadata\.csv and metadata\.jsonl"):
        FolderTask.load(root)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"file_name": "11.png", "label": "dog"}, "line 12 has no split, unlike the lines before"),
        ({"file_name": "11.png", "split": "val"}, "line 12 has no label, unlike the lines before"),
        ({"label": "cat", "Label": "dog"}, "line 12 has a name twice"),
    ],
)
def test_every_line_has_the_same_columns(root: Path, line: dict[str, str], why: str) -> None:
    content = rows(split="train")[:11]
    (root / "metadata.jsonl").write_text(as_jsonl([*content, line]))
    with pytest.raises(RequestError, match=why):
        FolderTask.load(root)


def test_a_first_line_without_a_label_does_not_hide_the_others(root: Path) -> None:
    lines = [{"file_name": "00.png", "text": "a cat"}, *rows()[1:]]
    (root / "metadata.jsonl").write_text(as_jsonl(lines))
    with pytest.raises(RequestError, match="line 2 has a label, unlike the lines before"):
        FolderTask.load(root)
