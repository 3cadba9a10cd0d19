"""Stable Diffusion 1.5's own architecture, with random weights, from its folder to its images.

It takes minutes, 4 GB of memory and 2.2 GB of disk, so it runs only where it is asked for:
``BENCH_TEST_LARGE=1 pytest tests/sources/generation/test_sd15.py``.
"""

import gzip
import os
from pathlib import Path
from typing import Any

import diffusers
import open_clip
import pytest
import torch
import transformers

from bench.plugins import source_of
from bench.storage.image_set import ImageSet
from tests.support.tiny_clip import colour_task
from tests.support.tiny_generation import World, pixels, sampler

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("BENCH_TEST_LARGE"), reason="a model of gigabytes: BENCH_TEST_LARGE=1"
    ),
]

PARAMETERS = {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}
"""Counted by anyone who loads the published weights, e.g. huggingface.co/docs/diffusers."""

MERGES = 49_152 - 256 - 2


def tokenizer() -> Any:
    """Return CLIP's tokenizer, from the vocabulary that open_clip ships."""
    path = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()[1 : MERGES + 1]
    merges = [tuple(line.split()) for line in lines]
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += ["".join(merge) for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: place for place, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


def filled(build: Any) -> Any:
    """Return a module in bfloat16 with random weights, made in seconds."""
    with torch.device("meta"):
        module = build()
    module = module.to(torch.bfloat16).to_empty(device="cpu")
    for name, tensor in module.state_dict().items():
        if name.endswith("position_ids"):
            tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape))
        elif tensor.dim() < 2:
            tensor.fill_(1.0 if name.endswith("weight") else 0.0)
        else:
            tensor.uniform_(-1, 1).mul_((3 / tensor[0].numel()) ** 0.5)
    return module


@pytest.fixture(scope="module")
def sd15(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pipeline with the public configuration of Stable Diffusion 1.5."""
    torch.manual_seed(0)
    across, down = ["CrossAttnDownBlock2D"] * 3, ["DownBlock2D"]
    text = transformers.CLIPTextConfig(
        vocab_size=49_408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
        num_attention_heads=12, max_position_embeddings=77, projection_dim=768,
        hidden_act="quick_gelu", bos_token_id=49_406, eos_token_id=49_407,
    )  # fmt: skip
    pipeline = diffusers.StableDiffusionPipeline(
        unet=filled(
            lambda: diffusers.UNet2DConditionModel(
                sample_size=64, block_out_channels=(320, 640, 1280, 1280), layers_per_block=2,
                attention_head_dim=8, cross_attention_dim=768, down_block_types=across + down,
                up_block_types=["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
            )
        ),
        vae=filled(
            lambda: diffusers.AutoencoderKL(
                block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
                sample_size=512, down_block_types=["DownEncoderBlock2D"] * 4,
                up_block_types=["UpDecoderBlock2D"] * 4, scaling_factor=0.18215,
            )
        ),
        text_encoder=filled(lambda: transformers.CLIPTextModel(text)),
        tokenizer=tokenizer(),
        scheduler=diffusers.PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
            skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1,
        ),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    for name, count in PARAMETERS.items():
        assert sum(weight.numel() for weight in getattr(pipeline, name).parameters()) == count
    folder = tmp_path_factory.mktemp("sd15")
    pipeline.save_pretrained(folder)
    return folder


def outcomes(world: World, sd15: Path, dtype: str) -> ImageSet:
    settings = world.settings(
        generator=str(sd15), dtype=dtype, height=64, images__size=64, block_size=2, batch_size=2
    )
    return source_of("synthetic", settings).collect(world.context(1, colour_task()))


def test_the_source_runs_with_the_true_module_sizes(world: World, sd15: Path) -> None:
    from resource import RUSAGE_SELF, getrusage

    images = outcomes(world, sd15, "bf16")
    assert 1 <= len(images) <= 2
    assert all(array.shape == (64, 64, 3) for array in pixels(world, images).values())
    # Measured: 3.7 GB, of which 2.1 GB are weights; a copy of twice the width would be 4.3 more.
    assert getrusage(RUSAGE_SELF).ru_maxrss / 1e6 < 6.0


def test_clip_reads_77_tokens(world: World, sd15: Path) -> None:
    words = tokenizer()
    assert words("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    able = sampler(world, generator=str(sd15), dtype="bf16", height=64)
    assert not able.prompts.truncated(" ".join(["cat"] * 75))
    assert able.prompts.truncated(" ".join(["cat"] * 76))
    assert able.prompts.arguments(["a cat"])["prompt_embeds"].shape == (1, 77, 768)
    assert {module.dtype for module in (able.pipeline.unet, able.pipeline.vae)} == {torch.bfloat16}
