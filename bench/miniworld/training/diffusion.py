"""The parts of the miniature world's Stable Diffusion, and the pipeline put together of them.

The UNet is conditioned on a CLIP's text tower, frozen: a tower that already separates the classes
is what made a small generator learn them.
"""

from pathlib import Path

import open_clip
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

from bench.core.files import atomic_folder
from bench.miniworld.training import tokenizer
from bench.miniworld.training.clip import CONDITIONER
from bench.miniworld.training.decoder import DECODER
from bench.miniworld.training.vae import LATENT_CHANNELS

UNET_FILE = "unet.safetensors"
TEXT_BATCH = 1_000


def new_unet() -> UNet2DConditionModel:
    """Return an untrained UNet of 3.5 M parameters over latents of 8 x 8.

    The caption reaches it twice: by cross-attention at 4 x 4, and pooled into the time embedding,
    which scales and shifts every block.
    """
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=(64, 112),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=128,
        attention_head_dim=4,  # in diffusers this is the number of heads
        norm_num_groups=16,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
        resnet_time_scale_shift="scale_shift",
    )


def new_scheduler() -> DDIMScheduler:
    """Return Stable Diffusion's noise schedule, with the velocity as the prediction target."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )


def text_tower(clip_folder: Path) -> CLIPTextModel:
    """Return the text tower of an open_clip folder as transformers has it, same outputs."""
    clip = open_clip.create_model(f"local-dir:{clip_folder}")
    weights, width = clip.state_dict(), clip.token_embedding.weight.shape[1]
    layers = len(clip.transformer.resblocks)
    tower = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=tokenizer.VOCABULARY,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=clip.transformer.resblocks[0].attn.num_heads,
            max_position_embeddings=tokenizer.CONTEXT,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=tokenizer.VOCABULARY - 1,
            hidden_act="gelu",
            projection_dim=width,
        )
    )
    converted = {
        "embeddings.token_embedding.weight": weights["token_embedding.weight"],
        "embeddings.position_embedding.weight": weights["positional_embedding"],
        "final_layer_norm.weight": weights["ln_final.weight"],
        "final_layer_norm.bias": weights["ln_final.bias"],
    }
    for layer in range(layers):
        converted |= _converted_layer(weights, layer)
    # transformers 4 keeps the layers one level deeper than transformers 5.
    inner: torch.nn.Module = getattr(tower, "text_model", tower)
    inner.load_state_dict(converted)
    return tower.eval()


def _converted_layer(weights: dict[str, Tensor], layer: int) -> dict[str, Tensor]:
    """Return one layer's weights under transformers' names."""
    theirs, ours = f"transformer.resblocks.{layer}.", f"encoder.layers.{layer}."
    renamed = {
        "self_attn.out_proj": "attn.out_proj",
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    }
    converted: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        for our_name, their_name in renamed.items():
            converted[f"{ours}{our_name}.{kind}"] = weights[f"{theirs}{their_name}.{kind}"]
        # open_clip stacks query, key and value in one matrix.
        parts = weights[f"{theirs}attn.in_proj_{kind}"].chunk(3)
        for name, part in zip(("q_proj", "k_proj", "v_proj"), parts, strict=True):
            converted[f"{ours}self_attn.{name}.{kind}"] = part.clone()
    return converted


@torch.no_grad()
def encoded_texts(clip_folder: Path, texts: list[str], device: torch.device) -> Tensor:
    """Return the text tower's states, which condition the UNet: float16 [texts, CONTEXT, 128]."""
    tower = text_tower(clip_folder).to(device)
    words = tokenizer.load_tokenizer(clip_folder)
    tokens = torch.from_numpy(tokenizer.token_ids(words, texts)).to(device)
    return torch.cat([tower(batch)[0].half() for batch in torch.split(tokens, TEXT_BATCH)])


def save_pipeline(work: Path, folder: Path) -> None:
    """Write the diffusers pipeline of the trained parts, in half precision.

    Args:
        work: Holds `conditioner/`, `decoder/` and `unet.safetensors`.
        folder: Where the pipeline goes; it must not exist.
    """
    unet = new_unet()
    unet.load_state_dict(load_file(work / UNET_FILE))
    pipeline = pipeline_of(work, unet, work / DECODER)
    pipeline.vae.register_to_config(_name_or_path="")  # Not the folder it was trained in.
    with atomic_folder(folder) as partial:
        pipeline.to(torch.float16).save_pretrained(partial)


def pipeline_of(work: Path, unet: UNet2DConditionModel, vae: Path) -> StableDiffusionPipeline:
    """Return the diffusers pipeline of a UNet, an autoencoder and the other trained parts."""
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(vae),
        text_encoder=text_tower(work / CONDITIONER.name),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(work / CONDITIONER.name),
        unet=unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
