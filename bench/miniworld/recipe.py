"""How the miniature world's models are trained: every number that shapes the weights."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Steps, batch sizes and learning rates; the same recipe and seed give the same training.

    The amounts fit 2 CPU cores and about an hour: CLIP and the oracle on one core beside the
    autoencoder on the other, then the UNet on both.
    """

    seed: int = 0
    """Fixes the pool, all initial weights, and what each step draws."""
    pool_size: int = 30_000
    """Image-text pairs in the upstream pool."""

    clip_steps: int = 1_000
    """12 passes over the pool; the validation loss is flat from about step 1,200."""
    clip_batch: int = 256
    clip_rate: float = 1.5e-3

    vae_steps: int = 4_500
    """256k images; the reconstruction gains 0.1 dB over the last quarter."""
    vae_batch: int = 32
    vae_rate: float = 2.5e-3

    unet_steps: int = 6_000
    """704k images; the class fidelity still rises slowly at the end."""
    unet_batch: int = 32
    """Images per process and step; two processes share the work."""
    unet_rate: float = 1.2e-3

    oracle_steps: int = 1_300
    oracle_batch: int = 96
    oracle_rate: float = 2e-3
