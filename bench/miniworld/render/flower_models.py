"""Forms of the flowers; lengths are in radii of the whole flower."""

from dataclasses import dataclass

from bench.miniworld.render.canvas import Color

_WHITE: Color = (245, 243, 238)
_YELLOW: Color = (245, 208, 45)
_RED: Color = (200, 32, 40)
_PINK: Color = (235, 135, 172)
_VIOLET: Color = (132, 84, 190)
_ORANGE: Color = (240, 132, 42)
_BLUE: Color = (95, 115, 220)

PETAL_COLORS: tuple[Color, ...] = (_WHITE, _YELLOW, _RED, _PINK, _VIOLET, _ORANGE, _BLUE)


@dataclass(frozen=True)
class FlowerModel:
    """One species.

    Attributes:
        petals: fewest and most petals of a layer.
        outline: form of a petal: "round", "pointed", "oval" or "notched".
        width: width of a petal.
        layers: number of layers of petals.
        step: shrinkage of each layer against the one below it.
        centre: radius of the centre.
        feature: what sits on the petals: "none", "seeds", "star", "corona", "trumpet", "blotches".
        typical: typical colours of the petals.
        centres: colours of the centre.
        pad: whether the flower floats on a round leaf.
    """

    petals: tuple[int, int]
    outline: str
    width: float
    layers: int
    step: float
    centre: float
    feature: str
    typical: tuple[Color, ...]
    centres: tuple[Color, ...]
    pad: bool = False

    def attributes(self) -> dict[str, object]:
        """Describe the structure in words and numbers."""
        return {
            "petals": self.petals,
            "petal_outline": self.outline,
            "petal_width": self.width,
            "layers": self.layers,
            "centre": self.centre,
            "feature": self.feature,
            "floating_leaf": self.pad,
        }


FLOWERS: dict[str, FlowerModel] = {
    "sunflower": FlowerModel(
        petals=(16, 20),
        outline="pointed",
        width=0.26,
        layers=2,
        step=0.12,
        centre=0.46,
        feature="seeds",
        typical=(_YELLOW, _ORANGE),
        centres=((85, 52, 28), (110, 75, 28)),
    ),
    "oxeye daisy": FlowerModel(
        petals=(13, 17),
        outline="round",
        width=0.2,
        layers=1,
        step=0.0,
        centre=0.26,
        feature="none",
        typical=(_WHITE,),
        centres=(_YELLOW, (225, 165, 40)),
    ),
    "primula": FlowerModel(
        petals=(5, 5),
        outline="notched",
        width=0.74,
        layers=1,
        step=0.0,
        centre=0.12,
        feature="star",
        typical=(_YELLOW, _PINK, _VIOLET),
        centres=(_YELLOW, _ORANGE),
    ),
    "passion flower": FlowerModel(
        petals=(10, 10),
        outline="oval",
        width=0.36,
        layers=1,
        step=0.0,
        centre=0.15,
        feature="corona",
        typical=(_WHITE, _VIOLET),
        centres=((150, 175, 80), (190, 185, 90)),
    ),
    "water lily": FlowerModel(
        petals=(8, 10),
        outline="pointed",
        width=0.36,
        layers=3,
        step=0.24,
        centre=0.16,
        feature="none",
        typical=(_PINK, _WHITE),
        centres=(_YELLOW, _ORANGE),
        pad=True,
    ),
    "rose": FlowerModel(
        petals=(5, 6),
        outline="round",
        width=0.95,
        layers=4,
        step=0.22,
        centre=0.07,
        feature="none",
        typical=(_RED, _PINK),
        centres=((120, 35, 45), (150, 80, 60)),
    ),
    "daffodil": FlowerModel(
        petals=(6, 6),
        outline="oval",
        width=0.56,
        layers=1,
        step=0.0,
        centre=0.38,
        feature="trumpet",
        typical=(_YELLOW, _WHITE),
        centres=(_ORANGE, _YELLOW),
    ),
    "corn poppy": FlowerModel(
        petals=(4, 4),
        outline="round",
        width=1.15,
        layers=1,
        step=0.0,
        centre=0.16,
        feature="blotches",
        typical=(_RED, _ORANGE),
        centres=((38, 34, 36), (70, 80, 50)),
    ),
}

# Flowers of no class: what a pool about flowers also shows.
OTHER_FLOWERS: dict[str, FlowerModel] = {
    "aster": FlowerModel(
        petals=(20, 24),
        outline="pointed",
        width=0.16,
        layers=1,
        step=0.0,
        centre=0.3,
        feature="none",
        typical=(_VIOLET, _BLUE),
        centres=(_YELLOW,),
    ),
    "buttercup": FlowerModel(
        petals=(5, 5),
        outline="round",
        width=0.9,
        layers=1,
        step=0.0,
        centre=0.25,
        feature="none",
        typical=(_YELLOW,),
        centres=((200, 190, 60),),
    ),
    "clematis": FlowerModel(
        petals=(7, 8),
        outline="pointed",
        width=0.6,
        layers=1,
        step=0.0,
        centre=0.2,
        feature="star",
        typical=(_VIOLET, _PINK, _WHITE),
        centres=((235, 230, 190),),
    ),
}
