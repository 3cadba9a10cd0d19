"""How many directions features span: 1 when all images look alike, their length at the most."""

import numpy as np

from bench.core.arrays import FloatArray


def effective_rank(features: FloatArray) -> float:
    """Return the exponential of the entropy of the singular values (Roy 2007, equation 4).

    It falls as a training collapses (Garrido 2023, RankMe).

    Args:
        features: float ``[n, dim]``, as evaluators see them; they are not centred.
    """
    rows = features.astype(np.float64)
    gram = rows.T @ rows if rows.shape[0] > rows.shape[1] else rows @ rows.T
    singular = np.sqrt(np.clip(np.linalg.eigvalsh(gram), 0, None))
    shares = singular[singular > 0] / singular.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
