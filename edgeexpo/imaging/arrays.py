"""Array types of pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.float32]
"""A picture as an HxWx3 float32 array. Each function documents the range and the transfer."""
