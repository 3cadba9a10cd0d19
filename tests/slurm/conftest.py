"""The cluster that all tests of a session share, whichever process asks first."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import cluster


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """The running cluster's slurm.conf, named by SLURM_CONF too; it is left running.

    Another Slurm of the machine is never used: these tests cancel and preempt jobs.
    """
    started = subprocess.run(
        [sys.executable, cluster.__file__, "up"], capture_output=True, text=True, check=False
    )
    if started.returncode:
        pytest.skip(started.stderr.strip())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.CONFIG))
        yield cluster.CONFIG
