"""What kind of model a weights folder holds, told without loading it."""

from pathlib import Path

CLIP_CONFIG, CLIP_WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
"""Files of open_clip's ``local-dir`` layout."""

ENCODER_CONFIG, ENCODER_WEIGHTS = "config.json", "model.safetensors"
"""Files of an image encoder, as timm writes them for the Hub."""


def is_image_only(folder: Path) -> bool:
    """Return whether a folder is of an image encoder of timm, which has no text tower."""
    return not (folder / CLIP_CONFIG).is_file() and (folder / ENCODER_CONFIG).is_file()
