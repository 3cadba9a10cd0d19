"""The cluster that all tests of a session share, whichever process asks first."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import cluster

BY_HAND = "`sudo python3 tests/slurm/cluster.py install` and `up` make it run"


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """The running cluster's slurm.conf, named by SLURM_CONF too; it is left running.

    Another cluster of the machine is never used: these tests cancel and preempt jobs.
    """
    if not cluster.answers():
        _start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.CONFIG))
        yield cluster.CONFIG


def _start() -> None:
    if missing := cluster.missing_packages():
        pytest.skip(f"not installed: {', '.join(missing)}; {BY_HAND}")
    if os.geteuid():
        pytest.skip(f"no cluster runs, and only root can start one; {BY_HAND}")
    started = subprocess.run(
        [sys.executable, cluster.__file__, "up"], capture_output=True, text=True, check=False
    )
    if started.returncode:
        pytest.skip(started.stderr.strip())
