"""A diffusion pipeline's networks and nothing else: the floor that a stage is compared with."""

from typing import Any

import torch

_UNUSED = dict.fromkeys(("timestep_cond", "cross_attention_kwargs", "added_cond_kwargs"))


class Bare:
    """Inputs on the device for the forward passes of one batch.

    They are made in inference mode and passed with the pipeline's keywords: a compiled UNet would
    be compiled anew for others.

    Args:
        pipeline: A Stable Diffusion pipeline.
        batch: Images; the UNet gets each with and without its caption.
        height: Their side in pixels.
        unet: A UNet to take for the pipeline's.
    """

    @torch.inference_mode()
    def __init__(self, pipeline: Any, batch: int, height: int, unet: Any = None) -> None:
        self._unet = unet or pipeline.unet
        self._vae = pipeline.vae
        side, text = height // pipeline.vae_scale_factor, pipeline.text_encoder.config
        rows = torch.randn(2 * batch, self._unet.config.in_channels, side, side)
        states = torch.randn(2 * batch, text.max_position_embeddings, text.hidden_size)
        self._rows = rows.to(self._unet.device, self._unet.dtype)
        self._states = states.to(self._rows)
        self._latents = self._rows[:batch].to(self._vae.dtype)

    @torch.inference_mode()
    def denoise(self, steps: int) -> None:
        """Do the UNet's forward passes for so many steps."""
        for time in torch.arange(steps, device=self._rows.device):
            self._unet(
                self._rows, time, encoder_hidden_states=self._states, return_dict=False, **_UNUSED
            )

    @torch.inference_mode()
    def decode(self, at_once: int) -> None:
        """Decode the batch, so many images at once."""
        for latents in torch.split(self._latents, at_once):
            self._vae.decode(latents, return_dict=False)
