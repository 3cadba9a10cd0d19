"""Stable Diffusion 1.5's own architecture with random weights, as a pipeline's folder.

The sizes are those of the config.json files of the published weights
(huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5).
"""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import open_clip
import torch
import transformers

PARAMETERS = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}
"""Counted by anyone who loads the published weights, e.g. huggingface.co/docs/diffusers."""

_MERGES = 49_152 - 256 - 2
_ACROSS, _DOWN = ["CrossAttnDownBlock2D"] * 3, ["DownBlock2D"]


def write_stable_diffusion(folder: Path, dtype: torch.dtype, device: str = "cpu") -> Path:
    """Write the pipeline's folder: 2.1 GB of random weights of that type, made on that device."""
    torch.manual_seed(0)
    pipeline = diffusers.StableDiffusionPipeline(
        unet=_filled(_unet, dtype, device),
        vae=_filled(_vae, dtype, device),
        text_encoder=_filled(_text_encoder, dtype, device),
        tokenizer=clip_tokenizer(),
        scheduler=diffusers.PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
            skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder


def clip_tokenizer() -> Any:
    """Return CLIP's tokenizer, from the vocabulary that open_clip ships."""
    path = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()[1 : _MERGES + 1]
    merges = [tuple(line.split()) for line in lines]
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += ["".join(merge) for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: place for place, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def _filled(build: Callable[[], Any], dtype: torch.dtype, device: str) -> Any:
    """Return a module with random weights, made in seconds."""
    with torch.device("meta"):
        module = build()
    module = module.to(dtype).to_empty(device=device)
    for name, tensor in module.state_dict().items():
        if name.endswith("position_ids"):
            tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape))
        elif tensor.dim() < 2:
            tensor.fill_(1.0 if name.endswith("weight") else 0.0)
        else:
            tensor.uniform_(-1, 1).mul_((3 / tensor[0].numel()) ** 0.5)
    return module


def _unet() -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=64, block_out_channels=(320, 640, 1280, 1280), layers_per_block=2,
        attention_head_dim=8, cross_attention_dim=768, down_block_types=_ACROSS + _DOWN,
        up_block_types=["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
    )  # fmt: skip


def _vae() -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
        sample_size=512, down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4, scaling_factor=0.18215,
    )  # fmt: skip


def _text_encoder() -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=49_408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
        num_attention_heads=12, max_position_embeddings=77, projection_dim=768,
        hidden_act="quick_gelu", bos_token_id=49_406, eos_token_id=49_407,
    )  # fmt: skip
    return transformers.CLIPTextModel(config)
