"""The UNet of Stable Diffusion 1.5's architecture with `torch.compile`, against the same without.

It runs only where it is named: a cold compilation may take two minutes of an H100's time (not
measured), and the rest of the part half a minute.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from tests.gpu.measure import Check, Figure, Machine, Result
from tests.gpu.parts.generate import FULL, TINY, TURNS, grey, items, loaded, peak, reset_peak
from tests.support.bare_diffusion import Bare


def run(machine: Machine) -> Iterator[Result]:
    """Compile once, compare images, and measure."""
    from torch._dynamo.utils import counters

    sizes = TINY if machine.tiny else FULL
    plain, compiled = (loaded(machine, sizes, compile=chosen)[1] for chosen in (False, True))
    wanted = items(2 * sizes.batch - 1)
    taken = machine.seconds(lambda: compiled.denoise(wanted[: sizes.batch], 1))
    yield Figure("first batch, compilation included", "s", [taken])
    reset_peak(machine)
    found, expected = (able.finish(able.denoise(wanted, sizes.few)) for able in (compiled, plain))
    # As far apart as an image alone and in a batch may be: other kernels, the same sums.
    apart = float(np.abs(grey(found) - grey(expected)).mean())
    yield Check("compiled against plain, mean grey levels", apart, 1.0)
    works = [
        partial(Bare(able.pipeline, sizes.batch, sizes.height).denoise, sizes.few)
        for able in (plain, compiled)
    ]
    amount = sizes.batch * sizes.few / sizes.steps
    floor, rates = machine.rates(amount, *works, turns=TURNS)
    yield Figure(f"UNet alone, not compiled, batch {sizes.batch}", "images/s", floor)
    name = f"UNet alone, compiled, batch {sizes.batch}"
    yield Figure(name, "images/s", rates, floor, "the same, not compiled")
    yield from peak(machine, "compiled")
    yield Check("compilations but one", counters["stats"]["unique_graphs"] - 1, 0)
