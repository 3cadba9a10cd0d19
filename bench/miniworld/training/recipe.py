"""How the miniature world's models are trained: every number that shapes the weights."""

import math
from dataclasses import dataclass, replace
from typing import Self

MORE = 10
"""Samples of a GPU's recipe over those of the CPU's, where more samples help."""


@dataclass(frozen=True)
class Recipe:
    """Steps, batch sizes and learning rates; the same recipe and seed give the same training.

    The defaults fit about an hour and a half on 2 CPU cores: the two CLIPs and the oracle on one
    core beside the autoencoder on the other, then the UNet on both.
    """

    seed: int = 0
    """Fixes the pool, all initial weights, and what each step samples."""
    processes: int = 2
    """Processes that train at a time, of one thread each. With one, the trainings follow each other
    in the process that was started, and the UNet's batch is not shared out."""
    pool_size: int = 30_000
    """Image-text pairs in the upstream pool."""

    clip_steps: int = 1_200
    """12 passes over the pool; the validation loss falls by 0.1 % in the last two."""
    conditioner_steps: int = 1_500
    """15 passes; from the 11th on the validation loss rises a little, from 2.94 to 2.99."""
    clip_batch: int = 256
    clip_rate: float = 1.5e-3

    vae_steps: int = 7_500
    """240k images; 28.7 dB on held-out images, of which 0.3 dB came in the last quarter."""
    vae_batch: int = 32
    vae_rate: float = 2.5e-3

    decoder_steps: int = 2_500
    """80k images, three passes over the pool."""
    decoder_batch: int = 32
    decoder_rate: float = 2e-4

    unet_steps: int = 10_000
    """1.28M images, 23 passes over the pool and its mirror image."""
    unet_batch: int = 64
    """Images per process and step."""
    unet_rate: float = 1.2e-3

    oracle_images: int = 500
    """Clean renders of each class that the oracle is trained on."""
    oracle_steps: int = 2_500
    """20 passes over them."""
    oracle_batch: int = 96
    oracle_rate: float = 2e-3

    @classmethod
    def for_cuda(cls) -> Self:
        """Return the recipe for one GPU: ten times the samples, except of the two CLIPs.

        A step takes ten times the batch, and there are as many steps. So what is counted in steps
        stays as it was tried: warm-up, moving average, the discriminator's start. UNet and oracle
        learn faster by the square root of the batch, 3.16, as Adam may (Malladi et al. 2022). That
        was tried with the CPU's own batches, which are noisier, for 250 and 450 steps: the losses
        go from 0.433 to 0.423 and from 1.25 to 1.27. The autoencoder's loss is lower with twice the
        rate (0.335 against 0.365 after 250 steps) and higher with 3.16 times (0.391): it gets
        twice. The decoder keeps its rate: with 3.16 times, its images lose 0.9 dB and gain grain.

        | network | samples | passes | minutes | operations a step |
        |---|---|---|---|---|
        | conditioner, CLIP | 384k, 307k | 15, 12 | 0.2, 0.2 | 580 |
        | autoencoder | 2.4M | 88 | 1.2 | 670 |
        | oracle | 2.4M | 20 | 0.2 | 210 |
        | UNet | 12.8M | 230 | 2.5 | 1,130 |
        | decoder | 800k | 29 | 0.6 | 740 |

        The minutes are estimates, not measured on CUDA: 10 to 15 microseconds for each operation
        that a step starts (counted on a CPU). So small a network waits for its launches, not for
        the card. Rendering and judging add about two minutes on 16 cores.

        The CLIPs keep their samples, for their pool is closed: what studies retrieve from is what
        they have seen. On it the conditioner's validation loss rises from the 11th pass on, and
        CLIP's is flat after eight. Its unadapted probe reads 89 % of the flowers, where more than
        90 % would miss a gate. The oracle has no pool: it gets ten times the clean renders, and
        passes over them as often.
        """
        base, faster = cls(), math.sqrt(MORE)
        return replace(
            base,
            processes=1,
            vae_batch=MORE * base.vae_batch,
            vae_rate=2 * base.vae_rate,
            decoder_batch=MORE * base.decoder_batch,
            unet_batch=MORE * base.processes * base.unet_batch,
            unet_rate=faster * base.unet_rate,
            oracle_images=MORE * base.oracle_images,
            oracle_batch=MORE * base.oracle_batch,
            oracle_rate=faster * base.oracle_rate,
        )
