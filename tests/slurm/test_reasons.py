"""Slurm's reasons in plain words: every one that Slurm 22.05 has, and those it writes itself."""

from pathlib import Path

import pytest

from slurm.reasons import Fate, reason_of

RECORDED = Path(__file__).parent / "recorded"

OF_ENDED_JOBS = {"NonZeroExitCode", "OutOfMemory", "BlockMaxError", "BlockFreeAction"}
"""Reasons of jobs that do not wait, and of machines that are gone."""


def test_every_reason_of_slurm_is_known() -> None:
    # The words in Slurm 22.05's own library, in its order.
    names = (RECORDED / "reasons-22.05.txt").read_text().split()
    assert len(names) > 150
    unknown = {name for name in names if reason_of(name).fate is Fate.UNKNOWN}
    assert unknown == OF_ENDED_JOBS


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("launch failed requeued held", Fate.HELD),
        ("launch_failed_requeued_held", Fate.HELD),
        ("job requeued in held state", Fate.HELD),
        ("JobHeldUser", Fate.HELD),
        ("DependencyNeverSatisfied", Fate.NEVER),
        ("PartitionTimeLimit", Fate.NEVER),
        ("BadConstraints", Fate.NEVER),
        ("InvalidAccount", Fate.NEVER),
        ("QOSMaxWallDurationPerJobLimit", Fate.NEVER),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-3]", Fate.SITE),
        (
            "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority "
            "partitions",
            Fate.SITE,
        ),
        ("PartitionDown", Fate.SITE),
        ("AssocGrpCPUMinutesLimit", Fate.SITE),
        ("AssocGrpCPURunMinutesLimit", Fate.PASSES),
        ("AssocMaxJobsLimit", Fate.PASSES),
        ("QOSMaxCpuPerUserLimit", Fate.PASSES),
        ("Resources", Fate.PASSES),
        ("Dependency", Fate.PASSES),
    ],
)
def test_a_reason_says_whether_it_passes(text: str, fate: Fate) -> None:
    assert reason_of(text).fate is fate
    assert reason_of(text).meaning != text


def test_an_unknown_reason_is_shown_as_it_is() -> None:
    reason = reason_of("WaitingForTheMoon, full")
    assert (reason.meaning, reason.fate) == ("WaitingForTheMoon, full", Fate.UNKNOWN)


def test_a_job_of_priority_0_is_held_whatever_else_it_waits_for() -> None:
    assert reason_of("Dependency", held=True).fate is Fate.HELD
    assert reason_of("WaitingForTheMoon", held=True).fate is Fate.HELD
    # Released, it would still never start.
    assert reason_of("DependencyNeverSatisfied", held=True).fate is Fate.NEVER
