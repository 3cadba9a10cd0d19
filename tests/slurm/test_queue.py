"""Slurm's queue as a real squeue printed it: which jobs wait, for what, and what that means."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bench.core.paths import Home
from bench.storage.study_folder import Array, StudyFolder
from slurm.queue import COMMENT, Queued, jobs_in
from slurm.reasons import Fate
from slurm.waiting import dependents, fates_of, waiting

RECORDED = (Path(__file__).parent / "recorded" / "squeue-22.05.txt").read_text()
"""Of a cluster of one node whose jobs were held, requeued, drained and more; `%k` says which."""


@pytest.fixture
def recorded() -> dict[str, Queued]:
    return jobs_in(RECORDED)


def named(jobs: dict[str, Queued], comment: str) -> list[str]:
    return [name for name, job in jobs.items() if job.comment == COMMENT + comment]


def later(text: str, comment: str) -> str:
    """Return what squeue printed about one job as if it ended in an hour."""
    [line] = [line for line in text.splitlines() if "COMPLETING|" in line and comment in line]
    fields = line.split("|")
    fields[4] = (datetime.now() + timedelta(hours=1)).isoformat(timespec="seconds")  # noqa: DTZ005
    return "|".join(fields)


@pytest.mark.parametrize(
    ("comment", "fate"),
    [
        ("held", Fate.HELD),
        ("launch", Fate.HELD),
        ("requeued-held", Fate.HELD),
        ("special", Fate.HELD),
        ("after-held", Fate.BLOCKED),
        ("after-after-held", Fate.BLOCKED),
        ("never", Fate.NEVER),
        ("time", Fate.NEVER),
        ("drained", Fate.SITE),
        ("down", Fate.SITE),
        ("partition-down", Fate.SITE),
        ("begin", Fate.PASSES),
        ("requeued", Fate.PASSES),
        ("resources", Fate.PASSES),
        ("priority", Fate.PASSES),
    ],
)
def test_what_a_job_waits_for_says_whether_it_starts(
    recorded: dict[str, Queued], comment: str, fate: Fate
) -> None:
    jobs = named(recorded, comment)
    assert jobs
    assert {fates_of(recorded)[job] for job in jobs} == {fate}


def test_a_suspended_job_waits_for_nothing(recorded: dict[str, Queued]) -> None:
    [job] = named(recorded, "running")
    assert recorded[job].state == "SUSPENDED"  # The last line about it.
    assert job not in fates_of(recorded)


def test_a_job_that_is_cleaned_up_is_in_the_queue_only_if_it_starts_again() -> None:
    # Both lines say COMPLETING, whether the job was requeued or cancelled; its end differs.
    assert named(jobs_in(later(RECORDED, "bench:requeued")), "requeued")
    assert not named(jobs_in(RECORDED), "ending")


def test_those_that_wait_for_a_job_are_found(recorded: dict[str, Queued]) -> None:
    held = {job.partition("_")[0] for job in named(recorded, "held")}
    [after], [last] = named(recorded, "after-held"), named(recorded, "after-after-held")
    assert dependents([after], recorded) == [last]
    assert set(dependents(held, recorded)) == {after, last}


def test_a_reason_with_a_bar_and_a_comment_of_two_lines_break_nothing() -> None:
    text = (
        "7|N/A|PENDING|5|N/A|(null)|bench:mine|Site|full\n8|N/A|PENDING|5|N/A|(null)|one\ntwo|x\n"
    )
    jobs = jobs_in(text)
    assert list(jobs) == ["7"]
    assert jobs["7"].reason == "Site|full"


def test_a_study_s_jobs_are_grouped_with_their_remedies(
    recorded: dict[str, Queued], home: Home
) -> None:
    study = StudyFolder(home, "mine")
    for comment in ("held", "after-held", "never", "drained", "priority"):
        array = Array(kind="run", title=comment, tasks=[["a"], ["b"]])
        study.renew(study.path / "arrays" / f"{comment}.json", array)
    groups = waiting(study, recorded)
    assert [group.fate for group in groups] == ["held", "never", "blocked", "site", "passes"]
    held, never, blocked, site, passes = groups
    assert held.jobs == named(recorded, "held")
    assert held.sentence == (
        "2 jobs wait: held with `scontrol hold` (JobHeldUser); release with `bench retry mine`"
    )
    assert "submit anew with `bench retry mine`" in never.remedy
    assert blocked.meaning == "for earlier jobs, which do not start by themselves"
    assert "bench cancel mine" in site.remedy
    assert passes.sentence == "1 job waits: for jobs of higher priority (Priority)"
