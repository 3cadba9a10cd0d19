"""How models are named, where their weights are kept, and how they are fetched.

CLIP-ViT-B-16-laion2B-s34B-b88K    a name that this project knows
ORG/NAME@REVISION                  a repository of the Hugging Face Hub, as is hf-hub:ORG/…
ViT-B-16-SigLIP2:webli             a model of open_clip and the tag of its weights
synclr-vit-b16                     a file that its authors released, kept by `bench fetch --from`
timm:NAME, timm:NAME@REVISION      an image encoder of timm, such as vit_small_patch14_dinov2.…
any other                          a folder
"""

import re
from typing import NamedTuple

from bench.core.missing import Fetchable

FETCHED = {
    "CLIP-ViT-B-16-laion2B-s34B-b88K": "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
    # runwayml's copy was taken down in August 2024; this is the one its users moved to.
    "stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
}
"""Models that ``bench fetch`` knows by a short name, and where on the Hub they are."""

FETCHED_POOLS = {"relaion2B-en-research-safe": "laion/relaion2B-en-research-safe"}
"""Pools that ``bench fetch`` knows by a short name, and where on the Hub they are."""

RELEASED = {
    "synclr-vit-b16": "vit_base_patch16_224",
    "synclr-vit-l14": "vit_large_patch14_224",
}
"""Models whose weights their authors released as a file, and what timm calls their networks.

They are those of Tian 2023 (SynCLR): ViT-B/16 and ViT-L/14.
"""

_RELEASED_AT = "the authors' page, github.com/google-research/syn-rep-learn"

HOW_TO_NAME = ("ORG/NAME@REVISION", "NAME:TAG of open_clip", "timm:NAME")
"""What a model is called that has no short name."""

_WORD = r"[A-Za-z0-9][\w.-]*"
_HUB_ID = re.compile(rf"(?:hf-hub:)?({_WORD}/{_WORD})(?:@({_WORD}))?")
_TIMM = re.compile(rf"timm:({_WORD})(?:@({_WORD}))?")
_TAGGED = re.compile(rf"({_WORD}):({_WORD})")


class Tagged(NamedTuple):
    """A model of open_clip: its architecture, and the tag of its weights."""

    architecture: str
    tag: str


def hub_id(name: str) -> tuple[str | None, str | None]:
    """Return repository and revision of ``ORG/NAME@REVISION``; None for a missing part.

    An encoder of timm is in a repository of timm's; without a revision it is the newest.
    """
    if match := _TIMM.fullmatch(name):
        return f"timm/{match[1]}", match[2]
    match = _HUB_ID.fullmatch(name)
    return (match[1], match[2]) if match else (None, None)


def tagged(name: str) -> Tagged | None:
    """Return architecture and tag of ``NAME:TAG``; None for any other name."""
    match = None if name.startswith("timm:") else _TAGGED.fullmatch(name)
    return Tagged(match[1], match[2]) if match else None


def folder_name(name: str) -> str:
    """Return the name of a model's folder below those of all weights."""
    if name.startswith("timm:"):
        return f"timm/{name.removeprefix('timm:')}"
    if model := tagged(name):
        return f"open_clip/{model.architecture}/{model.tag}"
    return name.removeprefix("hf-hub:")


def fetchable(name: str) -> Fetchable | None:
    """Return what to fetch for weights of a name; None if nothing that is called so is fetched."""
    known = name in FETCHED or tagged(name) or name.startswith("timm:") or hub_id(name)[1]
    return Fetchable("model", name) if known else None


def how_to_fetch(name: str) -> str:
    """Return how to get weights: by a command, where one fetches what is called so."""
    if name in RELEASED:
        command = f"bench fetch --model {name} --from FILE.pth"
        return f"get its file from {_RELEASED_AT}, then `{command}` keeps it"
    repository, _ = hub_id(name)
    if wanted := fetchable(name):
        return f"fetch them with `{wanted.command}`, or run offline with --preset mini"
    if repository:
        return f"give a folder, or a pinned name: `bench fetch --model {name}@REVISION` fetches it"
    names = ", ".join((*FETCHED, *RELEASED, *HOW_TO_NAME))
    return f"give a folder or what `bench fetch --model` has: {names}"
