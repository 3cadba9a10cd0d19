"""The embedded closed world: renderer, pool, small CLIP and small Stable Diffusion."""
