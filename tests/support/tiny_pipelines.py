"""Pipeline folders of every family with random weights: real classes, no meaning, milliseconds."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import ModelMixin  # noqa: F401 (where diffusers looks how to load a class of ours)

MINIATURE = Path(__file__).parents[2] / "bench" / "miniworld" / "weights" / "stable-diffusion"
Weights = dict[str, torch.Tensor]
HUNGRY_BATCH = 8
"""Rows beyond which `HungryUNet` finds no memory: 4 images, each with and without its caption."""


class HungryUNet(diffusers.UNet2DConditionModel):  # type: ignore[misc]
    """A UNet that fills the memory of its device with more than `HUNGRY_BATCH` rows."""

    def forward(self, sample: torch.Tensor, *args: object, **named: object) -> Any:
        if len(sample) > HUNGRY_BATCH:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot.")
        return super().forward(sample, *args, **named)


class FlakyVAE(diffusers.AutoencoderKL):  # type: ignore[misc]
    """A VAE that fails on the latents of some seeds, each in one of the ways that are known."""

    def decode(self, z: torch.Tensor, *args: object, **named: object) -> Any:
        pixels = super().decode(z, *args, **named)[0]
        for image, latent in zip(pixels, z, strict=True):
            bad = {0: float("nan"), 1: -1.0, 2: 0.3}.get(int(latent.abs().sum() * 10) % 6)
            if bad is not None:
                image.fill_(bad)
        return (pixels,)


def write_pipeline(family: str, folder: Path) -> Path:
    """Write a pipeline folder.

    Args:
        family: ``sd``, ``checked`` (sd with a safety checker), ``xl``, ``sd3``, ``flux``, ``lcm``.
        folder: Where to.
    """
    torch.manual_seed(0)
    _FAMILIES[family]().save_pretrained(folder)
    return folder


def with_part(folder: Path, part: str, kind: type) -> Path:
    """Let a part of a pipeline folder be of another class, which is imported by its name."""
    index = json.loads((folder / "model_index.json").read_text())
    index[part] = [kind.__module__, kind.__name__]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _tokenizer() -> Any:
    return transformers.TokenizersBackend.from_pretrained(MINIATURE / "tokenizer")


def _text(pooled: bool = False) -> Any:
    tokenizer = _tokenizer()
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=4, max_position_embeddings=tokenizer.model_max_length,
        projection_dim=32, pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    kind = transformers.CLIPTextModelWithProjection if pooled else transformers.CLIPTextModel
    return kind(config)


def _t5() -> Any:
    config = transformers.T5Config(
        vocab_size=len(_tokenizer()), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4
    )
    return transformers.T5EncoderModel(config)


def _vae(channels: int = 4, **more: object) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=channels, **more,
    )  # fmt: skip


def _unet(**more: object) -> Any:
    return diffusers.UNet2DConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=16, norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=8,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **more,
    )  # fmt: skip


def _stable_diffusion(
    kind: Any = diffusers.StableDiffusionPipeline, checker: Any = None, **unet: object
) -> Any:
    features = transformers.CLIPImageProcessor(size=32, crop_size=32) if checker else None
    scheduler = diffusers.DDIMScheduler(clip_sample=False, steps_offset=1)
    if kind is diffusers.LatentConsistencyModelPipeline:
        scheduler = diffusers.LCMScheduler()
    return kind(
        vae=_vae(), text_encoder=_text(), tokenizer=_tokenizer(), scheduler=scheduler,
        unet=_unet(cross_attention_dim=32, **unet), safety_checker=checker,
        feature_extractor=features, requires_safety_checker=checker is not None,
    )  # fmt: skip


def _checked() -> Any:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    vision |= {"num_attention_heads": 4, "image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(vision_config=vision, projection_dim=16)
    return _stable_diffusion(checker=StableDiffusionSafetyChecker(config))


def forced(folder: Path, threshold: float) -> Path:
    """Let a pipeline's safety checker object above a cosine: to all at -2, to none at 2."""
    names = ("concept_embeds_weights", "special_care_embeds_weights")
    change_weights(
        folder / "safety_checker",
        lambda old: old | {name: torch.full_like(old[name], threshold) for name in names},
    )
    return folder


def change_weights(part: Path, change: Callable[[Weights], Weights]) -> None:
    """Let a part of a pipeline folder have other weights."""
    from safetensors.torch import load_file, save_file

    path = next(part.glob("*.safetensors"))
    changed = {name: weight.contiguous() for name, weight in change(load_file(path)).items()}
    save_file(changed, path, metadata={"format": "pt"})


def _xl() -> Any:
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(), text_encoder=_text(), text_encoder_2=_text(pooled=True),
        tokenizer=_tokenizer(), tokenizer_2=_tokenizer(),
        scheduler=diffusers.EulerDiscreteScheduler(),
        unet=_unet(
            cross_attention_dim=64, addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=32 + 6 * 8,
        ),
    )  # fmt: skip


def _sd3() -> Any:
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=16, patch_size=1, in_channels=4, out_channels=4, num_layers=1,
            attention_head_dim=8, num_attention_heads=4, caption_projection_dim=32,
            joint_attention_dim=32, pooled_projection_dim=64,
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), vae=_vae(shift_factor=0.06),
        text_encoder=_text(pooled=True), text_encoder_2=_text(pooled=True), text_encoder_3=_t5(),
        tokenizer=_tokenizer(), tokenizer_2=_tokenizer(), tokenizer_3=_tokenizer(),
    )  # fmt: skip


def _flux() -> Any:
    return diffusers.FluxPipeline(
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
        ),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(), vae=_vae(1, shift_factor=0.06),
        text_encoder=_text(), tokenizer=_tokenizer(), text_encoder_2=_t5(),
        tokenizer_2=_tokenizer(),
    )  # fmt: skip


_FAMILIES: dict[str, Callable[[], Any]] = {
    "sd": _stable_diffusion,
    "checked": _checked,
    "xl": _xl,
    "sd3": _sd3,
    "flux": _flux,
    "lcm": lambda: _stable_diffusion(
        diffusers.LatentConsistencyModelPipeline, time_cond_proj_dim=32
    ),
}
