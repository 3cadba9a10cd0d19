"""What Slurm's reasons for not starting a job mean, whether they pass, and what to do if not.

The reasons and what they mean are those of Slurm 22.05: squeue(1), JOB REASON CODES, and
https://slurm.schedmd.com/resource_limits.html. ``launch failed requeued held`` and its like are
descriptions that Slurm shows in place of a reason. Slurm gives a held job the priority 0.
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """Whether a waiting job will start."""

    PASSES = "passes"
    """By itself."""
    HELD = "held"
    """When it is released."""
    NEVER = "never"
    """It cannot: it must be submitted anew."""
    SITE = "site"
    """When the site's administrators, or its nodes, are back at work."""
    BLOCKED = "blocked"
    """Not before another job, which will not start by itself."""
    UNKNOWN = "unknown"
    """Slurm's reason is not in this table."""


STUCK = frozenset({Fate.HELD, Fate.NEVER, Fate.BLOCKED})
"""The fates of jobs that nothing but a command of the user starts."""


@dataclass(frozen=True)
class Reason:
    """Why a job waits.

    Attributes:
        meaning: In plain words, after "the job waits"; Slurm's own words if it is unknown.
        fate: Whether it will start.
    """

    meaning: str
    fate: Fate


_NODES = Reason("nodes are down, drained or reserved", Fate.SITE)
_REQUEST = "for more than it may have: "

_BY_NAME = {
    "None": Reason("for Slurm to look at it", Fate.PASSES),
    "WaitingForScheduling": Reason("for Slurm to look at it", Fate.PASSES),
    "SchedDefer": Reason("for Slurm to look at it", Fate.PASSES),
    "Priority": Reason("for jobs of higher priority", Fate.PASSES),
    "Resources": Reason("for free resources", Fate.PASSES),
    "Dependency": Reason("for earlier jobs", Fate.PASSES),
    "BeginTime": Reason("for its time to begin, as after a requeue", Fate.PASSES),
    "Cleaning": Reason("for the end of its last attempt", Fate.PASSES),
    "Prolog": Reason("for the site's prolog", Fate.PASSES),
    "JobArrayTaskLimit": Reason("for other jobs of its array", Fate.PASSES),
    "Licenses": Reason("for a licence", Fate.PASSES),
    "Reservation": Reason("for its reservation to begin", Fate.PASSES),
    "FedJobLock": Reason("for another cluster's answer", Fate.PASSES),
    "BurstBufferResources": Reason("for the burst buffer", Fate.PASSES),
    "BurstBufferStageIn": Reason("for the burst buffer", Fate.PASSES),
    "AssociationJobLimit": Reason("the account is at its limit", Fate.PASSES),
    "AssociationResourceLimit": Reason("the account is at its limit", Fate.PASSES),
    "AccountingPolicy": Reason("the account or QOS is at its limit", Fate.PASSES),
    "QOSJobLimit": Reason("the QOS is at its limit", Fate.PASSES),
    "QOSResourceLimit": Reason("the QOS is at its limit", Fate.PASSES),
    "JobHeldUser": Reason("held with `scontrol hold`", Fate.HELD),
    "JobHeldAdmin": Reason("held by an administrator or by Slurm", Fate.HELD),
    "JobHoldMaxRequeue": Reason("held after too many requeues", Fate.HELD),
    "launch failed requeued held": Reason("held, as Slurm could not start it", Fate.HELD),
    "launch failure limit exceeded requeued held": Reason(
        "held, as Slurm could not start it", Fate.HELD
    ),
    "job requeued in held state": Reason("held since it was requeued", Fate.HELD),
    "DependencyNeverSatisfied": Reason("for an end of another job that cannot come", Fate.NEVER),
    "BadConstraints": Reason(f"{_REQUEST}no node is as it asks", Fate.NEVER),
    "PartitionTimeLimit": Reason(f"{_REQUEST}more time than its partition gives", Fate.NEVER),
    "AssociationTimeLimit": Reason(f"{_REQUEST}more time than the account gives", Fate.NEVER),
    "QOSTimeLimit": Reason(f"{_REQUEST}more time than the QOS gives", Fate.NEVER),
    "MaxMemPerLimit": Reason(f"{_REQUEST}too much memory", Fate.NEVER),
    "DeadLine": Reason("its deadline cannot be met", Fate.NEVER),
    "InvalidAccount": Reason("its account is invalid", Fate.NEVER),
    "InvalidQOS": Reason("its QOS is invalid", Fate.NEVER),
    "AccountNotAllowed": Reason("its partition does not take its account", Fate.NEVER),
    "QOSNotAllowed": Reason("its partition or account does not take its QOS", Fate.NEVER),
    "ReservationDeleted": Reason("its reservation was deleted", Fate.NEVER),
    "QOSUsageThreshold": Reason("the account has used up its share", Fate.SITE),
    "PartitionNodeLimit": Reason(
        "its partition has too few nodes for it, or they are down or drained", Fate.SITE
    ),
    "PartitionConfig": Reason("its partition has too little for it now", Fate.SITE),
    "PartitionDown": Reason("its partition is down", Fate.SITE),
    "PartitionInactive": Reason("its partition is inactive", Fate.SITE),
    "NodeDown": Reason("a node is down", Fate.SITE),
    "FrontEndDown": Reason("no front-end node is up", Fate.SITE),
    "ReqNodeNotAvail": _NODES,
    "Nodes required for job are DOWN": _NODES,
    "SystemFailure": Reason("Slurm, a file system or the network failed", Fate.SITE),
    "JobLaunchFailure": Reason("Slurm could not start it", Fate.SITE),
    "BurstBufferOperation": Reason("the burst buffer failed", Fate.SITE),
    "PowerNotAvail": Reason("for electric power", Fate.SITE),
    "PowerReserved": Reason("for electric power", Fate.SITE),
}

_BY_PATTERN = (
    (
        re.compile(r"(Assoc|QOS)Max\w*Per(Job|Node)(Limit)?|QOSMin\w+"),
        Reason(f"{_REQUEST}the account or QOS limits each job", Fate.NEVER),
    ),
    (
        re.compile(r"(Assoc|QOS)Grp\w*(?<!Run)Minutes(Limit)?|(Assoc|QOS)GrpWallLimit"),
        Reason("the account or QOS has used up its time", Fate.SITE),
    ),
    (
        re.compile(r"(Assoc|QOS)(Grp|Max)\w+|Max\w+PerAccount"),
        Reason("the account or QOS is at its limit", Fate.PASSES),
    ),
)

_HELD = Reason("held", Fate.HELD)


def reason_of(text: str, *, held: bool = False) -> Reason:
    """Return what one of Slurm's reasons means.

    Args:
        text: As squeue shows it; a description may follow a comma, and have ``_`` for spaces.
        held: Whether the job's priority is 0.
    """
    name = text.partition(",")[0].strip()
    known = _BY_NAME.get(name) or _BY_NAME.get(name.replace("_", " "))
    if known is None:
        known = next((reason for form, reason in _BY_PATTERN if form.fullmatch(name)), None)
    if held and (known is None or known.fate not in (Fate.HELD, Fate.NEVER)):
        return _HELD
    return known or Reason(text, Fate.UNKNOWN)
