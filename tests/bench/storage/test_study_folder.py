"""A study's folder: what was submitted, what failed, and why it pauses."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.core.errors import BenchError, RequestError
from bench.core.paths import Home
from bench.storage.study_folder import Array, Failure, Hold, StudyFolder, Submitted, names


@pytest.fixture
def study(tmp_path: Path) -> StudyFolder:
    folder = StudyFolder(Home(tmp_path), "scaling")
    folder.submit(Submitted(name="scaling", runs={"a": "run a"}, on="slurm"))
    return folder


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "a\nb", "x" * 101, "a b"])
def test_a_name_that_is_no_folder_s_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match="cannot be a study's name"):
        StudyFolder(Home(tmp_path), name)


def test_an_unknown_study_suggests_the_nearest(study: StudyFolder) -> None:
    assert names(study.home) == ["scaling"]
    with pytest.raises(RequestError, match="did you mean scaling"):
        StudyFolder(study.home, "scalign").submitted()


def test_three_equal_errors_pause_a_study_and_others_do_not(study: StudyFolder) -> None:
    study.fail("a", "no file /data/1a2b3c4d5e/x.tar at step 17")
    study.fail("a", "no file /data/1a2b3c4d5e/x.tar at step 18")  # the same run once more
    study.fail("b", "the loss is no number")
    study.fail("c", "no file /data/ffffffffff/y.tar at step 99")
    assert study.hold() is None
    study.fail("d", "no file /data/aaaaaaaaaa/z.tar at step 1")
    hold = study.hold()
    assert hold is not None
    assert hold.by == "errors"
    assert hold.reason.startswith("3 runs failed alike: no file")
    # Submitting again forgets failures and hold.
    study.submit(study.submitted())
    assert study.hold() is None
    assert study.failures() == {}


def test_one_failure_pauses_a_study_with_that_limit(study: StudyFolder) -> None:
    study.submit(Submitted(name="scaling", runs={}, on="local", pause_after=1))
    study.fail("a", "no")
    assert study.hold() == Hold(reason="a run failed: no", by="errors")


def test_failures_of_many_jobs_at_once_are_all_kept(study: StudyFolder) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda run: study.fail(f"run{run}", f"error {run}"), range(40)))
    assert study.failures() == {f"run{run}": Failure(error=f"error {run}") for run in range(40)}
    assert study.hold() is not None  # numbers apart, the errors are equal


def test_arrays_are_kept_with_and_without_a_number(study: StudyFolder) -> None:
    array = Array(kind="run", title="t", tasks=[["a"], ["b"]])
    path = study.add(array)
    assert study.arrays() == {path.stem: array}
    numbered = replace(array, job="12")
    study.renew(path, numbered)
    assert study.arrays() == {path.stem: numbered}


def test_a_sweep_that_submits_nothing_leaves_the_date_and_the_rest(study: StudyFolder) -> None:
    path = study.add(Array(kind="run", title="t", tasks=[["a"]], job="7"))
    study.fail("a", "no")
    since = study.since
    study.rename_runs({"a": "run a", "b": "run b"})
    assert study.since == since
    assert list(study.arrays(latest=True)) == [path.stem]
    assert set(study.failures()) == {"a"}
    assert study.submitted().on == "slurm"
    assert set(study.submitted().runs) == {"a", "b"}
    study.submit(study.submitted())
    assert study.arrays(latest=True) == {}


def test_a_damaged_file_is_named(study: StudyFolder) -> None:
    (study.path / "study.json").write_text("{")
    with pytest.raises(BenchError, match=r"cannot read .*study\.json"):
        study.submitted()
