"""The jobs of a study that wait: for what, whether that passes, and what to do if it does not."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bench.core.progress import printable
from bench.storage.study_folder import StudyFolder
from slurm.queue import Queued, live_jobs
from slurm.reasons import STUCK, Fate, reason_of


@dataclass(frozen=True)
class Waiting:
    """Jobs of a study that wait for one thing.

    Attributes:
        reason: Slurm's word for it.
        meaning: The same in plain words.
        fate: Whether it passes (`slurm.reasons.Fate`).
        remedy: What to do about it; empty if it passes by itself.
        jobs: Slurm's names of the jobs.
    """

    reason: str
    meaning: str
    fate: Fate
    remedy: str
    jobs: list[str]

    @property
    def problem(self) -> str:
        """How many jobs wait for what."""
        count = "1 job waits" if len(self.jobs) == 1 else f"{len(self.jobs)} jobs wait"
        return f"{count}: {self.meaning}{_in_brackets(self.reason, self.meaning)}"

    @property
    def sentence(self) -> str:
        """The same with the remedy."""
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem


def waiting(study: StudyFolder, queued: dict[str, Queued]) -> list[Waiting]:
    """Return what the jobs of a study wait for; first what does not pass by itself.

    Args:
        study: The study.
        queued: Slurm's queue.
    """
    fates = fates_of(queued)
    groups: dict[tuple[Fate, str], list[str]] = {}
    for job in live_jobs(study, queued):
        if queued[job].waits:
            groups.setdefault((fates[job], queued[job].reason), []).append(job)
    order = {fate: place for place, fate in enumerate(_REMEDIES)}
    return [
        Waiting(
            reason=printable(reason),
            meaning=meaning_of(queued[jobs[0]], fate),
            fate=fate,
            remedy=_REMEDIES[fate].format(study=study.name),
            jobs=jobs,
        )
        for (fate, reason), jobs in sorted(groups.items(), key=lambda group: order[group[0][0]])
    ]


def fates_of(queued: dict[str, Queued]) -> dict[str, Fate]:
    """Return job to fate for all jobs that wait."""
    fates = {
        name: reason_of(job.reason, held=job.held).fate for name, job in queued.items() if job.waits
    }
    stuck = numbers_of(name for name, fate in fates.items() if fate in STUCK)
    for name in dependents(stuck, queued):
        if fates[name] not in STUCK:
            fates[name] = Fate.BLOCKED
    return fates


def dependents(numbers: Collection[str], queued: dict[str, Queued]) -> list[str]:
    """Return the jobs that wait for some arrays, or for jobs that do; the furthest first."""
    found: dict[str, None] = {}
    reached = set(numbers)
    while reached:
        new = [
            name
            for name, job in queued.items()
            if job.waits and name not in found and job.after & reached
        ]
        found |= dict.fromkeys(new)
        reached = numbers_of(new)
    return list(reversed(found))


def numbers_of(jobs: Iterable[str]) -> set[str]:
    """Return the numbers of jobs, or of the arrays that they are in."""
    return {job.partition("_")[0] for job in jobs}


def meaning_of(job: Queued, fate: Fate) -> str:
    """Return what a job of a known fate waits for, in plain words."""
    if fate is Fate.BLOCKED:
        return "for earlier jobs, which do not start by themselves"
    return printable(reason_of(job.reason, held=job.held).meaning)


def note_of(job: Queued, fate: Fate) -> str:
    """Return the same with Slurm's word for it."""
    meaning = meaning_of(job, fate)
    return f"{meaning}{_in_brackets(printable(job.reason), meaning)}"


def _in_brackets(reason: str, meaning: str) -> str:
    return "" if reason in ("None", meaning) else f" ({reason})"


_REMEDIES = {
    Fate.HELD: "release with `bench retry {study}`",
    Fate.NEVER: "submit anew with `bench retry {study}`, other options with --slurm NAME=VALUE",
    Fate.BLOCKED: "see what these wait for",
    Fate.SITE: "ask the site, or submit elsewhere: `bench cancel {study}`, then "
    "`bench retry {study} --slurm partition=NAME`",
    Fate.UNKNOWN: "see JOB REASON CODES in `man squeue`",
    Fate.PASSES: "",
}
"""What to do, in the order of urgency."""
