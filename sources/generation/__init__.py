"""From captions to images: a diffusion pipeline at work."""
