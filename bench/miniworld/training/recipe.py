"""How the miniature world's models are trained: every number that shapes the weights."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Steps, batch sizes and learning rates; the same recipe and seed give the same training.

    The amounts fit about an hour and a half on 2 CPU cores: the two CLIPs and the oracle on one
    core beside the autoencoder on the other, then the UNet on both.
    """

    seed: int = 0
    """Fixes the pool, all initial weights, and what each step samples."""
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
    """Images per process and step; two processes share the work."""
    unet_rate: float = 1.2e-3

    oracle_steps: int = 2_500
    """20 passes over 500 clean images per class."""
    oracle_batch: int = 96
    oracle_rate: float = 2e-3
