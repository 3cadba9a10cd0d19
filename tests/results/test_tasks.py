"""Tasks in folders have names of their own, whatever the spelling of their paths."""

from bench.core.records import Counts, RunRecord
from bench.core.specs import RunSpec
from results.tasks import task_names


def record(task: str, content: str = "", started: str = "2026-01-01") -> RunRecord:
    prints = {"task": content or f"{task}@1"}
    spec = RunSpec(
        preset="mini", task=task, source="none", options={}, n=0, model="m", fingerprints=prints
    )
    none = Counts(asked=0, matched=0, fetched=0, kept=0, used=0)
    return RunRecord(
        run_id=spec.run_id, status="done", spec=spec, n=none, image_set="", started=started
    )


def test_a_built_in_task_keeps_its_name_and_a_folder_never_takes_it() -> None:
    names = task_names([record("aircraft"), record("/x/aircraft", "aircraft@a")])
    assert names == {"aircraft": "aircraft", "/x/aircraft": "x/aircraft"}


def test_a_folder_is_called_by_its_last_name_if_no_other_is() -> None:
    assert task_names([record("/x/y/base", "base@a")]) == {"/x/y/base": "base"}


def test_two_folders_called_alike_are_told_apart() -> None:
    names = task_names([record("/x/a/data", "data@1"), record("/x/b/data", "data@2")])
    assert names == {"/x/a/data": "a/data", "/x/b/data": "b/data"}
    deep = task_names([record("/1/a/data", "data@1"), record("/2/a/data", "data@2")])
    assert deep == {"/1/a/data": "1/a/data", "/2/a/data": "2/a/data"}


def test_a_moved_folder_and_other_spellings_are_one_task_called_by_the_latest_place() -> None:
    names = task_names(
        [
            record("base", "base@1"),
            record("./base", "base@1"),
            record("/new/base", "base@1", "2026-02-01"),
            record("/new/base", "base@2", "2026-03-01"),
        ]
    )
    assert set(names.values()) == {"base"}
