"""The interface of objectives."""

from typing import Any, Protocol


class Objective(Protocol):
    """A loss that adaptation minimises: one file in ``adapt/objectives/``, one class."""

    def loss(self, model: Any, images: Any, labels: Any) -> Any:  # noqa: ANN401 (torch stays out)
        """Return the scalar loss of one batch.

        Args:
            model: An `adapt.models.Classifier`.
            images: Normalised images, float ``[b, 3, h, w]``.
            labels: Class indices, int64 ``[b]``.
        """
