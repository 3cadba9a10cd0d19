"""Fine-tuning of ViT-B/16, compiled: what it takes to begin with, and what it brings."""

from collections.abc import Iterator

from adapt.gradient import compiled
from bench.core.specs import TrainSpec
from tests.gpu.measure import Check, Figure, Machine, Result
from tests.gpu.training import BareStep, Networks, batches, cross_entropy_loss, repeated, size_for

TURNS = 3


def run(machine: Machine) -> Iterator[Result]:
    """Compare and measure compiled steps against bare ones, in bf16."""
    size = size_for(machine)
    networks, spec = Networks(size, machine.device), TrainSpec(precision="bf16")
    (batch,) = batches(size, 1, size.batch, machine.device)
    bare = BareStep(networks.make(), spec)
    step = BareStep(networks.make(), spec, compiled(cross_entropy_loss))
    found = []
    taken = machine.seconds(lambda: found.append(step(*batch)))
    yield Figure("compilation, forward and backward", "s", [taken])
    expected = bare(*batch).item()
    yield Check("loss of the first step, compiled", abs(found[0].item() / expected - 1), 1e-2)
    works = [repeated(each, batch, 4) for each in (step, bare)]
    rates, floor = machine.rates(4 * size.batch, *works, turns=TURNS)
    yield Figure("bf16", "images/s", floor)
    yield Figure("bf16, compiled", "images/s", rates, floor, "bf16")
