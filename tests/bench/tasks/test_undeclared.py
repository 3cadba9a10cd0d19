"""Tasks that nobody declared: a fetched data set of the Hub, and a folder of webdataset tars."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.core.errors import RequestError
from bench.core.missing import MissingError
from bench.core.paths import Home
from bench.core.task import SPLITS
from bench.tasks import find_task
from tests.conftest import Bench
from tests.support.origins import Table, encoded, write_parquet, write_webdataset

NAME = "hf:lab/fruit@1.0"
NAMES = ("pear", "fig")
TABLE: Table = {"train": ["pear", "fig"] * 10, "test": ["fig", "pear", "pear"]}


@pytest.fixture
def fetched(home: Home) -> Path:
    """Where a fetched copy of the data set is."""
    return home.tasks / "hf/lab/fruit@1.0"


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """A folder in CLIP-benchmark's layout."""
    write_webdataset(tmp_path / "wds_fruit", TABLE, NAMES)
    templates = "a photo of a {c}.\nthe {c}, a fruit.\n"
    (tmp_path / "wds_fruit/zeroshot_classification_templates.txt").write_text(templates)
    return tmp_path / "wds_fruit"


def write_columns(file: Path, columns: dict[str, list[Any]], features: dict[str, Any]) -> None:
    """Write Parquet with a column of images, others, and the features of the Hub's library."""
    file.parent.mkdir(parents=True, exist_ok=True)
    count = len(next(iter(columns.values())))
    images = [{"bytes": encoded(at), "path": None} for at in range(count)]
    table = pa.table({"image": images, **columns})
    described = {"info": {"features": {"image": {"_type": "Image"}, **features}}}
    table = table.replace_schema_metadata({b"huggingface": json.dumps(described).encode()})
    pq.write_table(table, file)


def class_label(*names: str) -> dict[str, Any]:
    return {"_type": "ClassLabel", "names": list(names)}


def test_a_data_set_of_the_hub_says_its_classes_and_its_missing_split_is_cut(
    home: Home, fetched: Path
) -> None:
    with pytest.raises(MissingError, match=r"`bench fetch --task hf:lab/fruit@1\.0`"):
        find_task(NAME)
    write_parquet(fetched, TABLE, NAMES)
    task = find_task(NAME)
    assert task.class_names == NAMES
    sizes = {name: np.bincount(task.split(name, home).labels).tolist() for name in SPLITS}
    assert sizes == {"train": [8, 8], "val": [2, 2], "test": [2, 1]}
    keys = [key for name in SPLITS for key in task.split(name, home).keys]
    assert len(set(keys)) == 23
    assert task.notes()[1].startswith("fruit: of each class, train is cut")


def test_other_files_are_another_task(fetched: Path) -> None:
    write_parquet(fetched, TABLE, NAMES)
    before = find_task(NAME).fingerprint
    write_parquet(fetched, {**TABLE, "test": ["fig", "fig", "pear"]}, NAMES)
    assert find_task(NAME).fingerprint != before


def test_labels_that_are_texts_are_sorted_and_a_split_may_lack_some(
    home: Home, fetched: Path
) -> None:
    write_parquet(fetched, {"train": ["pear", "fig", "apple"] * 5, "test": ["pear"]}, None)
    task = find_task(NAME)
    assert task.class_names == ("apple", "fig", "pear")
    assert task.split("test", home).labels.tolist() == [2]


def test_of_several_columns_of_labels_one_has_to_be_chosen(home: Home, fetched: Path) -> None:
    features = {
        "coarse_label": class_label("fruit", "tool"),
        "fine_label": class_label("fig", "pear", "saw"),
    }
    columns = {"coarse_label": [0, 0, 1] * 5, "fine_label": [0, 1, 2] * 5}
    write_columns(fetched / "train.parquet", columns, features)
    with pytest.raises(RequestError) as refused:
        find_task(NAME)
    assert "several columns of labels: coarse_label, fine_label; choose one" in str(refused.value)
    assert f"{NAME}?label=fine_label" in refused.value.fix
    task = find_task(f"{NAME}?label=fine_label")
    assert task.class_names == ("fig", "pear", "saw")
    assert task.fingerprint != find_task(f"{NAME}?label=coarse_label").fingerprint
    assert {name: len(task.split(name, home)) for name in SPLITS} == {
        "train": 9, "val": 3, "test": 3,
    }  # fmt: skip
    with pytest.raises(RequestError, match=r"no column 'colour'; there are: image, coarse_label"):
        find_task(f"{NAME}?label=colour")
    with pytest.raises(RequestError, match="'column' is no choice; there are label, image"):
        find_task(f"{NAME}?column=1")


def test_of_several_configs_one_has_to_be_chosen(home: Home, fetched: Path) -> None:
    for config, labels in (("small", [0, 1] * 5), ("large", [0, 1] * 9)):
        features = {"label": class_label(*NAMES)}
        write_columns(fetched / config / "train-00000.parquet", {"label": labels}, features)
    with pytest.raises(RequestError, match=r"several configs: large, small; choose one: .*config="):
        find_task(NAME)
    task = find_task(f"{NAME}?config=small")
    assert sum(len(task.split(name, home)) for name in SPLITS) == 10


def test_a_split_whose_labels_are_hidden_is_not_read(home: Home, fetched: Path) -> None:
    features = {"label": class_label(*NAMES)}
    write_columns(fetched / "train.parquet", {"label": [0, 1] * 10}, features)
    write_columns(fetched / "validation.parquet", {"label": [1, 0] * 3}, features)
    write_columns(fetched / "test.parquet", {"label": [-1] * 4}, features)
    task = find_task(NAME)
    assert {name: len(task.split(name, home)) for name in SPLITS} == {
        "train": 16, "val": 6, "test": 4,
    }  # fmt: skip
    assert "splits train, val" in task.notes()[0]


def test_lists_of_labels_are_a_multi_label_task(home: Home, fetched: Path) -> None:
    features = {"objects": {"_type": "List", "feature": class_label(*NAMES)}}
    rows = [[0], [1], [0, 1], []] * 5
    for split in SPLITS:
        write_columns(fetched / f"{split}.parquet", {"objects": rows}, features)
    task = find_task(NAME)
    assert task.multi_label
    targets = task.split("test", home).targets
    assert targets is not None
    assert targets[:4].tolist() == [[True, False], [False, True], [True, True], [False, False]]


def cut(folder: Path) -> None:
    file = folder / "data/test-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:-20])


def without_names(folder: Path) -> None:
    write_parquet(folder, TABLE, None, labels=NAMES.index)


def without_shard(folder: Path) -> None:
    file = folder / "data/test-00000-of-00001.parquet"
    file.rename(file.with_name("test-00000-of-00002.parquet"))


def without_bytes(folder: Path) -> None:
    file = folder / "data/test-00000-of-00001.parquet"
    table = pq.ParquetFile(file).read()
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    paths = pa.array([{"bytes": None, "path": "0.png"}] * len(table), kind)
    pq.write_table(table.set_column(0, "image", paths), file)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, "test-00000-of-00001.parquet is not a whole Parquet file"),
        (without_names, "it has several columns|it has no column of labels"),
        (without_shard, r"1 of 2 files .* of split test"),
        (without_bytes, "there are no bytes, only a path"),
    ],
)
def test_a_damaged_data_set_is_refused_in_one_line(
    home: Home, fetched: Path, damage: Callable[[Path], None], said: str
) -> None:
    write_parquet(fetched, TABLE, NAMES)
    damage(fetched)
    with pytest.raises(RequestError, match=said) as refused:
        find_task(NAME).split("test", home).read(0)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["hf:fruit@1.0", "hf:lab/fruit", "hf:../x@1", "hf:a/b@../../c"])
def test_what_names_no_data_set_at_a_revision_is_refused(home: Home, name: str) -> None:
    with pytest.raises(RequestError, match="write hf:ORG/NAME@REVISION"):
        find_task(name)


def test_a_folder_of_tars_says_its_classes_and_templates(home: Home, tars: Path) -> None:
    task = find_task(f"wds:{tars}")
    assert task.class_names == NAMES
    assert task.templates == ("a photo of a {}.", "the {}, a fruit.")
    sizes = {name: np.bincount(task.split(name, home).labels).tolist() for name in SPLITS}
    assert sizes == {"train": [8, 8], "val": [2, 2], "test": [2, 1]}


def test_a_moved_folder_of_tars_is_the_same_run(
    bench: Bench, home: Home, tars: Path, tiny_clip: Path
) -> None:
    def run_id(place: Path) -> str:
        words = ("run", "--source", "none", "--set", f"model={tiny_clip}", "--json")
        done = bench(*words, "--task", f"wds:{place}")
        assert done.code == 0, done.err
        return str(done.json["run_id"])

    first = run_id(tars)
    (moved := tars.parent / "moved").mkdir()
    assert run_id(tars.rename(moved / tars.name)) == first
    (record,) = home.runs.glob("*/record.json")
    notes = msgspec.json.decode(record.read_bytes())["task_notes"]
    assert notes[0] == "wds_fruit: 2 classes, splits test, train"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda f: (f / "classnames.txt").unlink(), "classnames.txt is not there"),
        (lambda f: (f / "classnames.txt").write_text("pear\npear\n"), "two classes 'pear'"),
        (lambda f: (f / "classnames.txt").write_text("pear\nf\x1big\n"), "control characters"),
        (lambda f: (f / "classnames.txt").write_text("pear\n"), "has 1 classes"),
        (lambda f: (f / "test/1.tar").unlink(), "has 1 tars, where nshards.txt says 2"),
        (lambda f: (f / "test/1.tar").write_bytes(b"x" * 700), r"1\.tar"),
        (
            lambda f: (f / "zeroshot_classification_templates.txt").write_text("a {}"),
            "line 1 needs one {c}",
        ),
    ],
)
def test_a_damaged_folder_of_tars_is_refused_in_one_line(
    home: Home, tars: Path, edit: Callable[[Path], object], said: str
) -> None:
    edit(tars)
    with pytest.raises(RequestError, match=said) as refused:
        find_task(f"wds:{tars}").check(home)
    assert "\n" not in str(refused.value)


def text_columns(folder: Path, **columns: list[Any]) -> None:
    for split in ("train", "test"):
        write_columns(folder / f"{split}.parquet", columns, {})


def test_texts_that_are_no_labels_are_not_taken_for_them(home: Home, fetched: Path) -> None:
    files = [f"{at}.png" for at in range(12)]
    text_columns(fetched, label=[0, 1] * 6, file=files)
    with pytest.raises(RequestError, match=r"numbers in 'label' have no names, .* 'file' may be"):
        find_task(NAME)
    text_columns(fetched, label=[0, 1] * 6, source=["web", "book"] * 6)
    with pytest.raises(RequestError, match=r"may be no labels; .* --task '.*\?label=source'"):
        find_task(NAME)
    assert find_task(f"{NAME}?label=source").class_names == ("book", "web")
    for split in ("train", "test"):
        captions = [f"{split} {at // 5}.{at % 5 if at < 8 else 0}" for at in range(12)]
        write_columns(fetched / f"{split}.parquet", {"text": captions}, {})
    with pytest.raises(RequestError, match="14 of its 24 texts in 'text' are of one image alone"):
        find_task(NAME)
    text_columns(fetched, label_id=[0, 1] * 6, label=["pear", "fig"] * 6)
    assert find_task(NAME).class_names == ("fig", "pear")


@pytest.mark.parametrize("nothing", ["", " "])
def test_texts_that_say_nothing_are_no_class(home: Home, fetched: Path, nothing: str) -> None:
    text_columns(fetched, label=["pear", "fig"] * 6)
    write_columns(fetched / "test.parquet", {"label": [nothing, nothing]}, {})
    task = find_task(NAME)
    assert task.class_names == ("fig", "pear")
    assert task.notes()[2] == (
        "fruit: 1 files of other splits, or without labels, are not read: test.parquet"
    )
    write_columns(fetched / "test.parquet", {"label": ["pear", nothing]}, {})
    with pytest.raises(RequestError, match=f"the label '{nothing}', which is no class"):
        find_task(NAME).split("test", home)


def test_files_of_other_splits_are_named(fetched: Path) -> None:
    write_parquet(fetched, {**TABLE, "test_v2": ["fig"]}, NAMES)
    assert "not read: data/test_v2-00000-of-00001.parquet" in find_task(NAME).notes()[-1]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[0], None], "row 1 has no label"),
        ([[0, 1, 0], [1, 1, 1]], "lists of 3 zeros and ones, a mark for each class"),
        ([[0], [2]], "label 2 of row 1 is none of 2"),
    ],
)
def test_lists_that_are_no_lists_of_labels_are_refused(
    home: Home, fetched: Path, rows: list[Any], said: str
) -> None:
    features = {"objects": {"_type": "List", "feature": class_label(*NAMES)}}
    for split in SPLITS:
        write_columns(fetched / f"{split}.parquet", {"objects": rows}, features)
    with pytest.raises(RequestError, match=said):
        find_task(NAME).split("test", home)


def test_no_split_is_empty(home: Home, tars: Path) -> None:
    shutil.rmtree(tars)
    write_webdataset(tars, {"train": ["pear", "fig"] * 4, "test": ["fig"]}, NAMES)
    with pytest.raises(RequestError, match="no image is left for the split val; add images"):
        find_task(f"wds:{tars}").check(home)


EXAMPLE = 4 * 512
"""Bytes of an example: two headers, an image and its label."""


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda tar: tar[:EXAMPLE], "cut short"),
        (lambda tar: tar[: EXAMPLE + 200], "cut short"),
        (lambda tar: tar[:EXAMPLE] + b"x" * 512 + tar[EXAMPLE + 512 :], "damaged at byte 2,048"),
        (lambda tar: tar[:EXAMPLE] + bytes(512) + tar[EXAMPLE + 512 :], "goes on after its end"),
        (lambda tar: tar + tar, "it goes on after its end mark at byte 4,096"),
    ],
)
def test_no_tar_is_read_in_part(
    home: Home, tars: Path, edit: Callable[[bytes], bytes], said: str
) -> None:
    file = tars / "train/0.tar"
    file.write_bytes(edit(file.read_bytes()))
    with pytest.raises(RequestError, match=said):
        find_task(f"wds:{tars}").split("train", home)


def test_tars_that_are_called_by_splits_are_not_mixed(tmp_path: Path, tars: Path) -> None:
    for split in ("train", "test"):
        (tars / split / "0.tar").rename(tmp_path / f"fruit-{split}-0000.tar")
    (tars / "classnames.txt").rename(tmp_path / "classnames.txt")
    shutil.rmtree(tars)
    with pytest.raises(RequestError, match=r"tars called by their splits: .*; put those of each"):
        find_task(f"wds:{tmp_path}")


def test_tars_in_folders_of_no_split_are_not_read(home: Home, tars: Path) -> None:
    whole = find_task(f"wds:{tars}").split("test", home).keys
    for place in ("backup", "test/old"):
        shutil.copytree(tars / "test", tars / place)
    task = find_task(f"wds:{tars}")
    assert task.split("test", home).keys == whole
    assert "4 files" in task.notes()[-1]
    for file in (tars / "train").iterdir():
        file.rename(tars / file.name)
    shutil.rmtree(tars / "train")
    shutil.rmtree(tars / "test")
    task = find_task(f"wds:{tars}")
    assert sum(len(task.split(name, home).keys) for name in SPLITS) == len(TABLE["train"])


def test_a_link_in_a_folder_of_tars_that_leads_nowhere_has_its_own_remedy(tars: Path) -> None:
    (tars / "train/link.tar").symlink_to(tars / "nowhere")
    with pytest.raises(RequestError, match="leads nowhere; mend or remove it"):
        find_task(f"wds:{tars}")
