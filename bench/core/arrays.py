"""The arrays that pass between packages."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
LabelArray = NDArray[np.int64]
TargetArray = NDArray[np.bool_]
MaskArray = NDArray[np.uint8]
"""What each pixel of an image shows, ``[h, w]``."""
