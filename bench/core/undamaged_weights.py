"""Whether the weights of a released file are still those that were kept of it."""

import json
from pathlib import Path

from bench.core.errors import RequestError
from bench.core.files import content_hash
from bench.core.weights_folder import ENCODER_WEIGHTS, SOURCE_FILE


def check_undamaged(folder: Path) -> None:
    """Make sure that the weights of a released file are those that were kept of it, to the byte.

    Of other folders, which do not say what they were, nothing is known.

    Raises:
        RequestError: If they are not.
    """
    try:
        kept = json.loads((folder / SOURCE_FILE).read_bytes())["weights"]
    except (OSError, ValueError, LookupError, TypeError):
        return
    weights = folder / ENCODER_WEIGHTS
    if not weights.is_file() or content_hash(weights) != kept:
        raise RequestError(
            f"{weights} is damaged: it is not as it was kept",
            "remove its folder, then `bench fetch --from` makes it again",
        )
