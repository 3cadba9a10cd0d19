"""SynCLR: images of a caption attract each other, as a teacher sees them (Tian 2023).

To StableRep's loss it adds a teacher whose weights are averages of the student's (``ema``), smaller
crops that the student alone sees (``local_crops``), and masked patches, of which the student says
what the teacher sees there (``ibot``). Without all three it is `stablerep`, to the bit.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import msgspec
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from adapt.layers.heads import TokenHead, mlp_head, output_norm
from adapt.losses.ibot import ibot_loss
from adapt.losses.multi_positive import multi_positive_loss
from adapt.losses.rows import at_least_float32
from adapt.losses.sinkhorn import sinkhorn
from adapt.models import Classifier
from adapt.objectives._contrastive import (
    Contrastive,
    ContrastiveOptions,
    check_area,
    strong_views,
)
from adapt.objectives._teacher import Teacher
from adapt.patches import Patches
from bench.core.config import AboveZero, Fraction, Momentum, Natural, Positive
from bench.core.errors import RequestError
from bench.core.json_values import Json
from bench.core.schedules import ramp
from bench.plugins import Batch, Masks, Needs, Start, View, objectives
from bench.plugins.objective import Share

LOCAL_AREA = (0.08, 0.32)
"""The least and the largest share of an image that a local crop shows (code,
main_mask_synclr.py:48-60)."""

STUDENT_TEMPERATURE = 0.1
"""Logits of the student's tokens are divided by it (code, models/mask_losses.py:227-321)."""

TEACHER_TEMPERATURES = (0.04, 0.07)
"""Of the teacher's, at first and after the warm-up (section 4)."""


@objectives.register("synclr")
class SynCLR(Contrastive):
    """The mean over global crops, that over local ones, and iBOT's loss of masked patches."""

    class Options(ContrastiveOptions, frozen=True, kw_only=True):
        """Its three parts, each a switch, and what is compared.

        Without all three, `temperature`, `area` and `downsample` are `stablerep`'s unless they are
        given.
        """

        later: ClassVar[tuple[str, ...]] = ()
        ema: bool = True
        """Whether images are compared with what a teacher makes of them, the average of the
        student's weights; with it come the heads of MoCo v3."""
        ibot: bool = True
        """Whether patches of what the student sees are masked; it says what the teacher sees there.
        """
        local_crops: Natural = 4
        """Smaller crops of every image, for the student alone."""
        judged: Literal["student", "teacher"] = "student"
        """Whose weights are evaluated and kept; the authors do not say which."""
        temperature: AboveZero = 0.08
        """Cosines are divided by it (section 4; in the code 0.1)."""
        area: tuple[Share, Share] = (0.32, 1.0)
        """The least and the largest share of an image that a global crop shows (code)."""
        downsample: Fraction = 0.05
        """The probability that a view's image is brought down to a few pixels and back before it is
        cropped; that of StableRep's code, as SynCLR's report has the step and no number."""
        per_group: Annotated[int, msgspec.Meta(ge=2)] = 4
        """Images of a caption in a batch (section 4)."""
        local_size: Share = 96 / 224
        """The side of a local crop as a share of the model's; rounded to whole patches."""
        prototypes: Positive = 65536
        """Of the tokens' head (section 3; 8,192 in the code's README)."""
        token_hidden: Positive = 2048
        """Width of its two hidden layers (code)."""
        token_out: Positive = 256
        """Length of what it compares with prototypes (code)."""
        momentum: Momentum = 0.994
        """The share of itself that the teacher keeps at the first step, an average over some 170
        steps; it rises to 1 over the training (section 3)."""
        teacher_warmup: Natural = 4000
        """Steps over which the temperature of the teacher's tokens rises from 0.04 to 0.07."""

        @classmethod
        def complete(cls, values: Json) -> Json:
            given = {"ema": True, "ibot": True, "local_crops": 4} | values
            plain = not (given["ema"] or given["ibot"] or given["local_crops"])
            usual = ContrastiveOptions()
            stablerep = {
                name: getattr(usual, name) for name in ("temperature", "area", "downsample")
            }
            return (stablerep if plain else {}) | values

    @staticmethod
    def needs(options: Options) -> Needs:
        _check_teacher(options)
        return Needs(
            views=_views(options),
            group="caption",
            per_group=options.per_group,
            coupled=True,
            batch_norm=options.norm == "bn",
            head=False,
            masks=Masks() if options.ibot else None,
        )

    def __init__(self, options: Options, start: Start) -> None:
        super().__init__(options, start, places=options.per_group)
        self._warmup, self._judges_teacher = options.teacher_warmup, options.judged == "teacher"
        self.predictor: nn.Module | None = None
        self.token_head: TokenHead | None = None
        self.teacher: Teacher | None = None
        like = self.model.head.weight
        if options.ema:
            out, norm = options.out, options.norm
            self.projection.append(output_norm(out, norm).to(like))
            predictor = mlp_head(out, options.hidden, out, norm=norm, layers=2)
            self.predictor = predictor.append(output_norm(out, norm)).to(like)
        if options.ibot:
            width = Patches(self.model.visual).width
            self.mask_token = nn.Parameter(like.new_zeros(width))
            self.token_head = TokenHead(
                width, options.token_hidden, options.token_out, options.prototypes
            ).to(like)
        if options.ema:
            self.teacher = Teacher(self._followed(), start.steps, options.momentum)

    def encode(self, batch: Batch, step: int) -> dict[str, Tensor]:
        images, *crops = batch.views
        encoded = {}
        masked = None if self.token_head is None else _masked_places(batch)[0]
        if self.token_head is None:
            embeddings = self.model.embeddings(images)
        else:
            embeddings, tokens = self.model.with_tokens(images, batch.masks, self.mask_token)
            encoded["tokens"] = self.token_head(tokens.flatten(0, 2)[masked])
        encoded["view-1"] = self._query(embeddings)
        if crops:
            # They are of one size, so one pass is enough.
            of_crops = self.model.embeddings(torch.cat(crops)).chunk(len(crops))
            encoded |= {f"local-{n}": self._query(one) for n, one in enumerate(of_crops, 1)}
        if self.teacher is not None:
            encoded |= self._taught(self.teacher, images, masked)
        return encoded

    def loss(self, encoded: Mapping[str, Tensor], batch: Batch, step: int) -> dict[str, Tensor]:
        view = encoded["view-1"]
        keys = encoded["keys"].detach() if "keys" in encoded else None
        parts = {}
        # An image looks for the others of its caption, in whichever process.
        parts["global_loss"], lone = self._among(keys, batch, view, batch.rows)
        crops = [encoded[name] for name in encoded if name.startswith("local-")]
        if crops:
            # A crop may find its own image.
            nobody = batch.rows.new_full((len(batch) * len(crops),), -1)
            keys = view if keys is None else keys
            parts["local_loss"], _ = self._among(keys, batch, torch.cat(crops), nobody)
        if "tokens" in encoded:
            parts["token_loss"] = self._token_loss(encoded, batch, step)
        loss = torch.stack(list(parts.values())).sum()
        return {"loss": loss, **(parts if len(parts) > 1 else {}), "lone_anchors": lone}

    def after_step(self, step: int) -> None:
        if self.teacher is not None:
            self.teacher.follow(self._followed(), step)

    def judged(self) -> Classifier:
        if self.teacher is not None and self._judges_teacher:
            return self.teacher.model
        return self.model

    def _followed(self) -> dict[str, nn.Module]:
        """Return the modules that the teacher has, too."""
        heads = {} if self.token_head is None else {"token_head": self.token_head}
        return {"model": self.model, "projection": self.projection, **heads}

    def _query(self, embeddings: Tensor) -> Tensor:
        projected = self.project(embeddings)
        return projected if self.predictor is None else self.project(projected, self.predictor)

    @torch.no_grad()
    def _taught(self, teacher: Teacher, images: Tensor, masked: Tensor | None) -> dict[str, Tensor]:
        """Return what the teacher makes of the whole images, and of the patches that are masked."""
        if masked is None:
            return {"keys": self.project(teacher.model.embeddings(images), teacher.projection)}
        embeddings, tokens = teacher.model.with_tokens(images)
        return {
            "keys": self.project(embeddings, teacher.projection),
            "targets": teacher.token_head(tokens.flatten(0, 2)[masked]),
        }

    def _among(
        self, keys: Tensor | None, batch: Batch, queries: Tensor, ids: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the contrastive loss of some views of a batch, and how many have no positives."""
        return multi_positive_loss(
            queries, batch.groups.repeat(len(queries) // len(batch)),
            temperature=self._temperature, ids=ids,
            keys=keys, key_groups=batch.groups, key_ids=batch.rows,
        )  # fmt: skip

    def _token_loss(self, encoded: Mapping[str, Tensor], batch: Batch, step: int) -> Tensor:
        masked, patches = _masked_places(batch)
        temperature = ramp(*TEACHER_TEMPERATURES, step, self._warmup)
        return ibot_loss(
            at_least_float32(encoded["tokens"]) / STUDENT_TEMPERATURE,
            sinkhorn(encoded["targets"], temperature=temperature),
            masked // patches,
        )


def _masked_places(batch: Batch) -> tuple[Tensor, int]:
    """Return which of a batch's patches are masked, int64 ``[m]``, and how many an image has."""
    if batch.masks is None:
        raise ValueError("the batch has no masks")
    return batch.masks.flatten().nonzero()[:, 0], batch.masks.shape[1]


def _check_teacher(options: SynCLR.Options) -> None:
    """Make sure that there is a teacher if one is needed.

    Raises:
        RequestError: If not.
    """
    for needing, other, needed in (
        ("ibot=true", "ibot=false", options.ibot),
        ("judged=teacher", "judged=student", options.judged == "teacher"),
    ):
        if needed and not options.ema:
            raise RequestError(
                f"objective.{needing} needs a teacher, and objective.ema=false leaves it out",
                f"set objective.{other}, or objective.ema=true",
            )


def _views(options: SynCLR.Options) -> tuple[View, ...]:
    if not (options.ema or options.ibot or options.local_crops):
        return strong_views(1, options)
    check_area(options)
    whole = View(name="global", area=options.area, recipe="byol", downsample=options.downsample)
    crops = [
        replace(whole, name=f"local-{number}", size=options.local_size, area=LOCAL_AREA)
        for number in range(1, options.local_crops + 1)
    ]
    return (whole, *crops)
