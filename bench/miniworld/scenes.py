"""Numbered scenes: what a caption says of an image, with the renderer as an ideal generator."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from bench.miniworld.pool import IMAGE_SIZE, Pixels
from bench.miniworld.render import ASPECTS, CLASSES, Aspect, render

FIRST_SEED = 4_000_000_000
"""Seeds of scenes start here, above those of the pool and of every split (`composition.SPLITS`)."""
MOST_COPIES = 1000
"""Images that a caption may have: a scene has as many seeds."""


class SceneImage(NamedTuple):
    """One image of a scene; all but the last are columns of an image set's index."""

    key: str
    label: int
    caption: str
    caption_id: str
    copy: int
    pair: str
    seed: int
    scene: int


@dataclass(frozen=True)
class IdealGenerator:
    """Renders what captions say; every scene has a caption of each class.

    Attributes:
        domain: one of `CLASSES`.
        names: what captions call its classes, in the order of `CLASSES`.
        fixes: aspects that all images of a scene have in common, whatever their class.
        per_caption: images of each caption, at most `MOST_COPIES`.
    """

    domain: str
    names: tuple[str, ...]
    fixes: tuple[Aspect, ...]
    per_caption: int

    @property
    def per_scene(self) -> int:
        """Images of each scene."""
        return self.per_caption * len(self.names)

    def images(self, scenes: Iterable[int]) -> list[SceneImage]:
        """Return the images of some scenes, those of a caption side by side."""
        return [
            self._image(scene, label, copy)
            for scene in scenes
            for label in range(len(self.names))
            for copy in range(self.per_caption)
        ]

    def _image(self, scene: int, label: int, copy: int) -> SceneImage:
        pair = f"a photo of a {{}}, scene {scene}"
        if self.fixes:
            pair += f": {', '.join(aspect for aspect in ASPECTS if aspect in self.fixes)}"
        return SceneImage(
            key=f"{self.domain}-{scene:06d}-{label}-{copy:03d}",
            label=label,
            caption=pair.replace("{}", self.names[label]),
            # The scene's, so that a sample of the images has whole scenes.
            caption_id=f"{self.domain}-{scene:06d}",
            copy=copy,
            pair=pair,
            seed=seeds_of(scene)[copy],
            scene=scene,
        )

    def pixels(self, image: SceneImage) -> Pixels:
        """Return the pixels of one image, uint8 [32, 32, 3]."""
        name = CLASSES[self.domain][image.label]
        fixed = dict.fromkeys(self.fixes, seeds_of(image.scene)[0])
        return render(self.domain, name, image.seed, IMAGE_SIZE, fixed)


def seeds_of(scene: int) -> range:
    """Return the seeds of a scene's images; the first one decides what its captions fix.

    Every class has the same seeds, of which the renderer makes other random numbers.
    """
    first = FIRST_SEED + scene * MOST_COPIES
    return range(first, first + MOST_COPIES)
