"""What would fail on the first real card: tensors and generators of two devices, silent waits."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT
from tests.gpu.__main__ import PARTS

pytestmark = pytest.mark.skipif(
    torch.version.cuda is None or shutil.which("cc") is None,
    reason="needs a torch that was built with CUDA, and a C compiler",
)


def on_card(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a module with the pretended card."""
    return subprocess.run(
        [sys.executable, "-m", "tests.support.pretended", *arguments],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_card_refuses_what_cuda_refuses(tmp_path: Path) -> None:
    (tmp_path / "mixed.py").write_text(
        "import torch\n"
        "from tests.support.plain_step import batch_of, cross_entropy\n"
        "from tests.support.pretended.card import waits\n"
        "a, b = torch.randn(3, 4, device='cuda'), torch.randn(4, 3)\n"
        "assert (a @ b.to('cuda')).device == torch.device('cuda', 0)\n"
        "a[torch.tensor([0, 2])] = 1.0\n"
        "assert not waits\n"
        "assert a.cpu()[0].tolist() == [1.0] * 4\n"
        "assert float(a[0, 0]) == 1.0\n"
        "assert waits.total() == 2, waits\n"
        "torch.randn(3, generator=torch.Generator('cuda').manual_seed(1), device='cuda')\n"
        "torch.randn(3, generator=torch.Generator().manual_seed(1))\n"
        "for work in (\n"
        "    lambda: a @ b, lambda: a + torch.ones(3, 4), lambda: a.numpy(),\n"
        "    lambda: torch.randn(3, generator=torch.Generator(), device='cuda'),\n"
        "    lambda: torch.randn(3, generator=torch.Generator('cuda')),\n"
        "    lambda: torch.nn.functional.cross_entropy(a, torch.arange(3)),\n"
        "):\n"
        "    try:\n"
        "        work()\n"
        "    except (RuntimeError, TypeError) as error:\n"
        "        print('refused', error)\n"
    )
    ended = on_card("mixed", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("refused") == 6, ended.stdout


def test_a_training_step_waits_for_nothing(tmp_path: Path) -> None:
    """It would leave the card idle; losses are looked at every 50 steps."""
    (tmp_path / "steps.py").write_text(
        "import open_clip, torch\n"
        "from adapt.views.augment import Augment\n"
        "from adapt.batches.ranks import RankBatch\n"
        "from adapt.train_step import TrainStep\n"
        "from bench.core.specs import TrainSpec\n"
        "from tests.gpu.training import TINY, Networks\n"
        "from tests.support.plain_step import batch_of, cross_entropy\n"
        "from tests.support.pretended.card import waits\n"
        "card, losses = torch.device('cuda'), torch.zeros(3, 2, device='cuda')\n"
        "augment = Augment.of(open_clip.image_transform(32, is_train=True))\n"
        "pixels = torch.randint(256, (4, 32, 32, 3), dtype=torch.uint8).to(card)\n"
        "labels = torch.tensor([0, 1, 2, 3]).to(card)\n"
        "for precision in ('fp32', 'bf16'):\n"
        "    spec = TrainSpec(precision=precision, micro_batch=2)\n"
        "    step = TrainStep(cross_entropy(Networks(TINY, card).make()), spec, print)\n"
        "    waits.clear()\n"
        "    for place in range(3):\n"
        "        torch.manual_seed(place)\n"
        "        batch = batch_of(augment.normalise(pixels), labels)\n"
        "        losses[place, 0] = step.backward(RankBatch([], 4), batch, place)['loss']\n"
        "        losses[place, 1] = step.update(place, 1e-5, 0.1)\n"
        "    assert not waits, (precision, waits)\n"
        "    assert all(norm > 0 for _, norm in losses.tolist())\n"
    )
    ended = on_card("steps", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_its_memory_is_limited_as_the_part_train_does(tmp_path: Path) -> None:
    """No part gets there: the card has no memory to measure."""
    (tmp_path / "limited.py").write_text(
        "import torch\n"
        "from tests.gpu.parts.train import limit_memory\n"
        "limit_memory(torch.device('cuda'))\n"
        "try:\n"
        "    torch.cuda.set_per_process_memory_fraction(0.5, torch.device('cuda'))\n"
        "except ValueError as error:\n"
        "    print('refused', error)\n"
    )
    ended = on_card("limited", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.startswith("refused")


@pytest.mark.slow(minutes=2)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_mixes_no_devices(part: str, tmp_path: Path) -> None:
    out, folder = tmp_path / "out.jsonl", tmp_path / "folder"
    folder.mkdir()
    ended = on_card("tests.gpu.worker", part, "cuda", str(out), str(folder), "--tiny")
    assert ended.returncode == 0, ended.stderr[-3000:]
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert lines[-1]["kind"] == "End"
    assert [line for line in lines if line.get("holds") is False] == []


@pytest.mark.slow(minutes=2)
def test_a_whole_run_mixes_no_devices(tmp_path: Path) -> None:
    """From captions and a diffusion model to scores; screening embeds, two workers decode."""
    run = ["run", "--preset", "mini", "--task", "aircraft", "--source", "synthetic", "--n", "64"]
    run += ["--set", "train.epochs=2", "--set", "train.precision=fp16", "--set", "train.workers=2"]
    ended = on_card("bench.cli", *run, "--json", BENCH_HOME=str(tmp_path / "home"))
    assert ended.returncode == 0, ended.stderr[-3000:]
    record = json.loads(ended.stdout)
    assert (record["status"], record["device"]) == ("done", "1 x Pretended")
