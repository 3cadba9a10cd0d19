"""One, two and three real processes agree in every loss and gradient."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from adapt.losses.gather import gathered, gathered_ids
from tests.conftest import ROOT
from tests.support.loss_cases import CASES, part_of, work

Written = dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """What each process computed, by the number of processes."""
    folder = tmp_path_factory.mktemp("processes")
    spawn(work, (folder,), 3)  # type: ignore[no-untyped-call]
    return {
        count: [torch.load(folder / f"{count}-{rank}") for rank in range(count)]
        for count in (1, 2, 3)
    }


def mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean(0)


@pytest.mark.parametrize("name", CASES)
def test_the_mean_over_processes_is_the_loss_and_gradient_of_the_whole_batch(
    written: Written, name: str
) -> None:
    whole = part_of(name)
    some = {"rtol": 1e-4, "atol": 1e-5} if "float32" in name else {"rtol": 1e-11, "atol": 1e-12}
    for parts in written.values():
        each = [part[name] for part in parts]
        for place, expected in enumerate(whole[:3]):
            ours = mean([part[place] for part in each])
            torch.testing.assert_close(ours, expected, rtol=some["rtol"], atol=some["atol"])
        # All processes know how many anchors of the whole batch have no positives.
        assert all(part[3:] == whole[3:] for part in each)


def test_the_batches_are_what_their_names_say(written: Written) -> None:
    for count in (2, 3):
        alone = [part["all lone anchors in one process"] for part in written[count]]
        assert alone[-1][0] == 0
        assert all(loss > 0 for loss, *_ in alone[:-1])
        assert all(part["positives in other processes alone"][3] == 0 for part in written[count])
    assert part_of("lone anchors alone")[3] == 12
    for name in ("lone anchors alone", "ibot, no token"):
        assert part_of(name)[0] == 0


def test_without_other_processes_rows_are_the_tensor_itself() -> None:
    rows, ids = torch.ones(3, 2), torch.arange(3)
    assert gathered(rows) is rows
    assert gathered_ids(ids) is ids


def test_the_losses_import_torch_alone() -> None:
    code = """
import sys, torch, torch.distributed
before = {name.partition(".")[0] for name in sys.modules}
import adapt.losses.clip, adapt.losses.ibot, adapt.losses.multi_positive
import adapt.losses.pairwise_sigmoid, adapt.losses.sinkhorn
after = {name.partition(".")[0] for name in sys.modules}
print(*sorted(after - before - sys.stdlib_module_names))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["adapt"]
