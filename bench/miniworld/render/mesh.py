"""Small polygon meshes and an orthographic painter for them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.miniworld.render.canvas import Canvas, Color, FloatArray, shade

SHADOW = "shadow"
"""The material of what a subject casts, and is not a part of it."""
_AMBIENT = 0.58


@dataclass(frozen=True)
class Mesh:
    """Flat faces with one material each.

    Attributes:
        corners: corners of all faces, one face after the other, float64 [V, 3].
        starts: index of the first corner of each face and, at the end, V; length F + 1.
        normals: unit normals, float64 [F, 3].
        centroids: mean corner of each face, float64 [F, 3].
        layers: faces of a higher layer are drawn later whatever their depth, int64 [F].
        two_sided: whether a face is seen from behind too, bool [F].
        materials: name of each face's material, length F.
    """

    corners: FloatArray
    starts: tuple[int, ...]
    normals: FloatArray
    centroids: FloatArray
    layers: NDArray[np.int64]
    two_sided: NDArray[np.bool_]
    materials: tuple[str, ...]


class MeshBuilder:
    """Collects faces and parts; coordinates are x forward, y left, z up."""

    def __init__(self) -> None:
        """Start with no faces."""
        self._faces: list[FloatArray] = []
        self._normals: list[FloatArray] = []
        self._layers: list[int] = []
        self._two_sided: list[bool] = []
        self._materials: list[str] = []

    def plate(
        self, corners: FloatArray | Sequence[Sequence[float]], material: str, layer: int = 0
    ) -> None:
        """Add a face without thickness, seen from both sides."""
        self._add(np.asarray(corners, dtype=np.float64), material, None, layer)

    def panel(
        self,
        corners: FloatArray | Sequence[Sequence[float]],
        material: str,
        inside: Sequence[float],
        layer: int = 0,
    ) -> None:
        """Add a face of a solid, seen only from the side away from the point `inside`."""
        self._add(np.asarray(corners, dtype=np.float64), material, np.asarray(inside), layer)

    def tube(
        self,
        stations: Sequence[tuple[float, float, float]],
        material: str,
        side: float = 0.0,
        sides: int = 8,
    ) -> None:
        """Add a tube along x.

        Args:
            stations: (x, radius, height of the centre) of each cross-section.
            material: name of the material; downward faces take this name + "-belly".
            side: y of the axis.
            sides: corners of a cross-section.
        """
        angles = (np.arange(sides + 1) + 0.5) * (2.0 * np.pi / sides)
        rings = [
            np.stack(
                [
                    np.full(sides + 1, x),
                    side + radius * np.cos(angles),
                    height + radius * np.sin(angles),
                ],
                axis=1,
            )
            for x, radius, height in stations
        ]
        segments = zip(itertools.pairwise(rings), itertools.pairwise(stations), strict=True)
        for (front, rear), (start, end) in segments:
            axis = [(start[0] + end[0]) / 2.0, side, (start[2] + end[2]) / 2.0]
            for index in range(sides):
                belly = "-belly" if np.sin(angles[index : index + 2].mean()) < -0.5 else ""
                quad = [front[index], front[index + 1], rear[index + 1], rear[index]]
                self.panel(np.asarray(quad), material + belly, axis)

    def build(self) -> Mesh:
        """Return the mesh of all the faces added so far."""
        lengths = [len(face) for face in self._faces]
        return Mesh(
            corners=np.concatenate(self._faces),
            starts=(0, *np.cumsum(lengths).tolist()),
            normals=np.stack(self._normals),
            centroids=np.stack([face.mean(axis=0) for face in self._faces]),
            layers=np.asarray(self._layers, dtype=np.int64),
            two_sided=np.asarray(self._two_sided),
            materials=tuple(self._materials),
        )

    def _add(
        self, corners: FloatArray, material: str, inside: FloatArray | None, layer: int
    ) -> None:
        # Newell's method: correct for any number of corners, also when some coincide.
        normal = np.cross(corners, np.roll(corners, -1, axis=0)).sum(axis=0)
        normal /= np.linalg.norm(normal) + 1e-12
        if inside is not None and normal @ (corners.mean(axis=0) - inside) < 0.0:
            normal = -normal
        self._faces.append(corners)
        self._normals.append(normal)
        self._layers.append(layer)
        self._two_sided.append(inside is None)
        self._materials.append(material)


@dataclass(frozen=True)
class View:
    """Where the camera stands; all angles in radians.

    Attributes:
        yaw: turn of the subject about its vertical axis, 0 is a side view, nose to the right.
        elevation: height of the camera above the horizon.
        bank: turn of the subject about its length axis.
        tilt: turn of the picture.
        mirrored: whether left and right of the picture are swapped.
    """

    yaw: float
    elevation: float
    bank: float = 0.0
    tilt: float = 0.0
    mirrored: bool = False

    def matrix(self) -> FloatArray:
        """Return the rotation to (right, up, towards the camera), float64 [3, 3]."""
        camera = np.array(
            [
                [1.0, 0.0, 0.0],
                [0.0, np.sin(self.elevation), np.cos(self.elevation)],
                [0.0, -np.cos(self.elevation), np.sin(self.elevation)],
            ]
        )
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        cos, sin = np.cos(self.bank), np.sin(self.bank)
        lean = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        rotate = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        flip = np.diag([-1.0 if self.mirrored else 1.0, 1.0, 1.0])
        matrix: FloatArray = flip @ rotate @ camera @ turn @ lean
        return matrix


def place(
    points: FloatArray, rng: np.random.Generator, scale: tuple[float, float], overrun: float = 0.0
) -> FloatArray:
    """Scale and shift points into the frame.

    Args:
        points: float64 [V, 2], x right and y up, in any unit.
        rng: source of the scale and of the position.
        scale: smallest and largest share of the frame that the longer side fills.
        overrun: share of the frame by which the subject may leave it.

    Returns:
        Fractions of the frame, y down, float64 [V, 2].
    """
    low, high = points.min(axis=0), points.max(axis=0)
    zoom = rng.uniform(*scale) / (high - low).max()
    slack = (1.0 - zoom * (high - low)) / 2.0
    shift = 0.5 + rng.uniform(-0.85, 0.85, 2) * slack * [1.0, 0.6] + rng.choice([-1, 1]) * overrun
    placed: FloatArray = (points - (low + high) / 2.0) * [zoom, -zoom] + shift
    return placed


def draw_mesh(
    canvas: Canvas,
    mesh: Mesh,
    view: View,
    colors: Mapping[str, Color],
    rng: np.random.Generator,
    overrun: float = 0.0,
) -> None:
    """Draw a mesh back to front, lit from above by a light of random direction."""
    matrix = view.matrix()
    corners = place((mesh.corners @ matrix.T)[:, :2], rng, (0.84, 0.97), overrun)
    normals = mesh.normals @ matrix.T
    depths = mesh.centroids @ matrix[2]
    backwards = normals[:, 2] < 0.0
    normals[backwards & mesh.two_sided] *= -1.0
    light = np.array([rng.uniform(-0.6, 0.6), rng.uniform(0.6, 1.0), rng.uniform(0.2, 0.7)])
    light /= np.linalg.norm(light)
    brightness = _AMBIENT + (1.12 - _AMBIENT) * np.clip(normals @ light, 0.0, 1.0)
    visible = np.flatnonzero(~backwards | mesh.two_sided)
    order = visible[np.lexsort((depths[visible], mesh.layers[visible]))]
    for face in order.tolist():
        outline = corners[mesh.starts[face] : mesh.starts[face + 1]]
        canvas.on_subject = mesh.materials[face] != SHADOW
        canvas.polygon(outline, shade(colors[mesh.materials[face]], brightness[face]))
