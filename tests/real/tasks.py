"""Tasks of the real pictures, as a user would lay them out."""

import hashlib
from pathlib import Path

import yaml

from tests.real.pictures import Picture

GROUPS = (
    "Activities", "Animals & Nature", "Food & Drink", "Objects", "Smileys & Emotion",
    "Travel & Places",
)  # fmt: skip
"""Unicode's groups of which each vendor has at least 80 emoji that are no signs."""


def write_emoji_task(folder: Path, emoji: list[Picture]) -> None:
    """Write the emoji as ``train|val|test|openmoji/GROUP/IMAGE``.

    Noto's are the training images. Fluent's show the same things otherwise: by the hash of its name
    an emoji is one of val or of test. OpenMoji's are a shifted split.
    """
    for picture in emoji:
        if picture.group in GROUPS:
            half = hashlib.sha256(picture.file.encode()).digest()[0] % 2
            split = {"noto": "train", "fluent": ("val", "test")[half]}
            write(folder / split.get(picture.origin, picture.origin), picture)
    settings = {"templates": ["an emoji of {}."], "shifted": ["openmoji"]}
    (folder / "task.yaml").write_text(yaml.safe_dump(settings))


def write(folder: Path, picture: Picture, class_name: str | None = None) -> Path:
    """Write a picture to ``CLASS/IMAGE``, and return where it is."""
    place = folder / (class_name or picture.group)
    place.mkdir(parents=True, exist_ok=True)
    file = place / f"{picture.origin}-{picture.file}"
    file.write_bytes(picture.content)
    return file
