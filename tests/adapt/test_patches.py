"""Image towers seen by their patches: tokens, masks, and images of other sizes."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
from torch import Tensor
from torch.nn import functional

from adapt.models import Classifier, load_model
from adapt.patches import Patches
from bench.core.errors import RequestError
from tests.support.image_encoders import write_encoder
from tests.support.tiny_clip import SIGLIP, write_tiny_clip

TIMM: dict[str, dict[str, Any]] = {
    "SigLIP": SIGLIP,
    "average": {"timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear"},
    "fixed": {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "token", "timm_proj": None},
    "EVA02": {"timm_model_name": "eva02_tiny_patch14_224", "timm_pool": "token", "timm_proj": None},
    "relative": {"timm_model_name": "test_vit_relpos", "timm_pool": "", "timm_proj": "linear"},
}
SIZES = {"fixed": 224, "EVA02": 224}
OTHER_SIZES = ["open_clip", "encoder", "SigLIP", "average", "fixed"]
"""Towers whose positions can be interpolated."""


def classifier(folder: Path, name: str) -> Classifier:
    """Return a classifier whose tower has patches, with weights that are no initial zeros."""
    if name == "encoder":
        clip = load_model(write_encoder(folder / name))
    elif name == "open_clip":
        clip = load_model(write_tiny_clip(folder / name))
    else:
        tower = {"embed_dim": 32, "image_size": SIZES.get(name, 160), **TIMM[name]}
        clip = load_model(write_tiny_clip(folder / name, timm=tower, logit_bias=-10.0))
    model = Classifier(copy.deepcopy(clip.model.visual), torch.eye(3, clip.dim))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.visual.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return model.eval()


@pytest.fixture(scope="module")
def of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Classifier]:
    made: dict[str, Classifier] = {}

    def named(name: str) -> Classifier:
        if name not in made:
            made[name] = classifier(tmp_path_factory.mktemp("towers"), name)
        return made[name]

    return named


def native(model: Classifier) -> tuple[int, int]:
    rows, columns = Patches(model.visual).grid
    tall, wide = patch(model)
    return rows * tall, columns * wide


def patch(model: Classifier) -> tuple[int, int]:
    visual: Any = model.visual
    tall, wide = (visual if hasattr(visual, "conv1") else visual.trunk.patch_embed).patch_size
    return int(tall), int(wide)


def images(*size: int, count: int = 2) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(count, 3, *size)


@pytest.mark.parametrize("name", ["open_clip", "encoder", *TIMM])
@torch.no_grad()
def test_one_pass_gives_embeddings_to_the_bit_and_tokens(
    of: Callable[[str], Classifier], name: str
) -> None:
    model = of(name)
    pictures = images(*native(model))
    pooled, tokens = model.with_tokens(pictures)
    assert torch.equal(pooled, model.embeddings(pictures))
    plain: Any = model.visual
    assert torch.equal(pooled, plain(pictures))
    assert tokens.shape == (2, *Patches(plain).grid, Patches(plain).width)
    assert torch.equal(tokens, model.patch_tokens(pictures))
    if name == "open_clip":
        found = plain.forward_intermediates(pictures, [-1], normalize_intermediates=True)
        expected = found["image_intermediates"][0]
    else:
        expected = plain.trunk.forward_intermediates(pictures, [-1], norm=True)[1][0]
        if isinstance(plain.trunk.norm, torch.nn.Identity):
            expected = plain.trunk.fc_norm(expected.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(tokens, expected.permute(0, 2, 3, 1), rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_pool_of_averages_is_of_these_tokens(of: Callable[[str], Classifier]) -> None:
    visual: Any = of("SigLIP").visual
    pictures = images(160, 160)
    tokens = of("SigLIP").patch_tokens(pictures).flatten(1, 2)
    torch.testing.assert_close(visual.trunk.attn_pool(tokens), visual(pictures))


@pytest.mark.parametrize("name", OTHER_SIZES)
@torch.no_grad()
def test_other_sizes_interpolate_positions(of: Callable[[str], Classifier], name: str) -> None:
    model = of(name)
    (rows, columns), (tall, wide) = Patches(model.visual).grid, patch(model)
    for size in ((rows - 1, columns), (rows // 2, columns // 2), (rows + 2, columns + 1)):
        pictures = images(size[0] * tall, size[1] * wide)
        pooled, tokens = model.with_tokens(pictures)
        assert tuple(tokens.shape[1:3]) == size
        assert torch.equal(pooled, model.embeddings(pictures))
        other = copy.deepcopy(model)
        give_positions(other, size)
        torch.testing.assert_close(other.embeddings(pictures), pooled, rtol=0, atol=1e-5)
    # A tower is left as it was.
    assert torch.equal(
        model.embeddings(images(*native(model))), model.visual(images(*native(model)))
    )


def give_positions(model: Classifier, grid: tuple[int, int]) -> None:
    """Make a tower one of another size, as its publishers do."""
    visual: Any = model.visual
    tall, wide = patch(model)
    if hasattr(visual, "trunk"):
        visual.trunk.set_input_size((grid[0] * tall, grid[1] * wide))
        return
    own = visual.positional_embedding
    old = own[1:].T.unflatten(1, visual.grid_size)[None]
    new = functional.interpolate(old, grid, mode="bicubic", antialias=True)[0]
    visual.positional_embedding = torch.nn.Parameter(torch.cat([own[:1], new.flatten(1).T]))
    visual.image_size, visual.grid_size = (grid[0] * tall, grid[1] * wide), grid


def test_gradients_reach_positions_and_the_mask_token(of: Callable[[str], Classifier]) -> None:
    for name in ("open_clip", "fixed"):
        model = copy.deepcopy(of(name))
        token = torch.zeros(Patches(model.visual).width, requires_grad=True)
        tall, wide = patch(model)
        masks = torch.tensor([[True, False, False, True]])
        given = images(2 * tall, 2 * wide, count=1)
        model.with_tokens(given, masks, token).tokens.sum().backward()  # type: ignore[no-untyped-call]
        visual: Any = model.visual
        own = visual.positional_embedding if name == "open_clip" else visual.trunk.pos_embed
        assert own.grad is not None
        assert own.grad.abs().max() > 0
        assert token.grad is not None
        assert token.grad.abs().max() > 0


def test_a_tower_is_trained_with_a_size_that_an_evaluator_had_before(
    of: Callable[[str], Classifier],
) -> None:
    """Evaluators compute in inference mode, whose tensors no gradient may need."""
    model = copy.deepcopy(of("open_clip"))
    tall, wide = patch(model)
    given = images(tall, 3 * wide)
    with torch.inference_mode():
        model.patch_tokens(given)
    model.embeddings(given).sum().backward()  # type: ignore[no-untyped-call]
    visual: Any = model.visual
    assert visual.positional_embedding.grad.abs().max() > 0


@pytest.mark.parametrize("name", ["open_clip", "encoder", "average", "EVA02"])
@torch.no_grad()
def test_masked_patches_are_not_seen_and_others_are(
    of: Callable[[str], Classifier], name: str
) -> None:
    model = of(name)
    size, (tall, wide) = native(model), patch(model)
    rows, columns = Patches(model.visual).grid
    masks = torch.zeros(2, rows * columns, dtype=torch.bool)
    masks[0, 1], masks[1, columns] = True, True
    token = torch.randn(Patches(model.visual).width)
    pictures = images(*size)
    before = model.with_tokens(pictures, masks, token)
    masked = pictures.clone()
    masked[0, :, :tall, wide : 2 * wide] += 1  # The first row's second patch.
    masked[1, :, tall : 2 * tall, :wide] += 1  # The second row's first one.
    after = model.with_tokens(masked, masks, token)
    assert torch.equal(before.pooled, after.pooled)
    assert torch.equal(before.tokens, after.tokens)
    seen = pictures.clone()
    seen[:, :, :tall, :wide] += 1
    assert not torch.equal(before.tokens, model.with_tokens(seen, masks, token).tokens)
    assert not torch.equal(before.tokens, model.with_tokens(pictures, masks, token + 1).tokens)
    assert not torch.equal(before.pooled, model.embeddings(pictures))
    # Without a masked patch, the mask token is nowhere.
    none = model.with_tokens(pictures, torch.zeros_like(masks), token)
    assert torch.equal(none.pooled, model.embeddings(pictures))


@pytest.mark.parametrize("name", ["test_convnext", "fastvit_t8", "test_resnet"])
def test_a_tower_of_timm_without_patches_is_refused_by_name(tmp_path: Path, name: str) -> None:
    model = classifier_of(load_model(write_encoder(tmp_path / name, name)))
    kind = type(model.visual.trunk).__name__
    with pytest.raises(RequestError, match=rf"image tower \({kind}\) has none"):
        model.patch_tokens(images(160, 160))
    assert model.embeddings(images(160, 160)).shape[0] == 2


def test_a_resnet_of_open_clip_is_refused_by_name(tmp_path: Path) -> None:
    model = classifier_of(load_model(write_tiny_clip(tmp_path / "clip", batch_norm=True)))
    with pytest.raises(RequestError, match=r"image tower \(ModifiedResNet\) has none"):
        model.patch_tokens(images(32, 32))


def classifier_of(clip: Any) -> Any:
    return Classifier(clip.model.visual, torch.eye(3, clip.dim)).eval()


def test_images_that_are_not_of_whole_patches_are_refused(
    of: Callable[[str], Classifier],
) -> None:
    model = of("open_clip")
    for given in (model.embeddings, model.patch_tokens):
        with pytest.raises(
            RequestError, match=r"30 x 20 pixels .* whole patches of 8 x 8"
        ) as found:
            given(images(30, 20))
        assert "32 x 16" in str(found.value)


@pytest.mark.parametrize(
    ("name", "kind"), [("relative", "VisionTransformerRelPos"), ("EVA02", "Eva")]
)
def test_positions_that_are_for_one_size_are_refused_by_name(
    of: Callable[[str], Classifier], name: str, kind: str
) -> None:
    tall, wide = patch(of(name))
    with pytest.raises(RequestError, match=rf"\({kind}\) cannot be interpolated"):
        of(name).embeddings(images(2 * tall, 2 * wide))


@pytest.mark.parametrize("timm_tower", [False, True])
def test_towers_that_leave_out_patches_in_training_are_refused(
    tmp_path: Path, timm_tower: bool
) -> None:
    if timm_tower:
        clip = load_model(write_encoder(tmp_path / "encoder"))
        clip.model.visual.trunk = timm.create_model("test_vit", num_classes=0, patch_drop_rate=0.5)
    else:
        clip = load_model(write_tiny_clip(tmp_path / "clip", patch_dropout=0.5))
    model = classifier_of(clip)
    size = (160, 160) if timm_tower else (32, 32)
    assert model.patch_tokens(images(*size)).shape[0] == 2
    with pytest.raises(RequestError, match="leaves out some in training"):
        model.train().patch_tokens(images(*size))
    with pytest.raises(RequestError, match="leaves out some in training"):
        Patches(model.visual).check_all_kept()


def test_a_pool_of_attention_keeps_its_own_norm() -> None:
    """CoCa's tower: its last norm is of what was pooled."""
    vision = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
    config = open_clip.CLIPVisionCfg(**vision, attentional_pool=True, attn_pooler_heads=2)
    visual = open_clip.CLIP(16, config, open_clip.CLIPTextCfg(layers=1)).visual.eval()
    with torch.no_grad():
        tokens = Patches(visual).with_tokens(images(32, 32)).tokens
        found = visual.forward_intermediates(images(32, 32), [-1])["image_intermediates"][0]
        expected = visual.attn_pool.ln_k(found.permute(0, 2, 3, 1))
    assert tokens.shape == (2, 4, 4, 32)
    torch.testing.assert_close(tokens, expected)
