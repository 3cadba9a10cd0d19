"""Image encoders of timm with random weights, small enough to be made in every test."""

from pathlib import Path

import timm
import torch
from timm.models import save_for_hf


def write_encoder(folder: Path, architecture: str = "test_vit", seed: int = 0) -> Path:
    """Write a folder as timm writes it for the Hub."""
    torch.manual_seed(seed)
    model = timm.create_model(architecture, num_classes=10)
    save_for_hf(model, str(folder), safe_serialization=True)
    return folder
