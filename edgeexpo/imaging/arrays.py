"""Types of the arrays that pictures are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.float32]
"""A picture as floats: HxWx3 float32; its user says which range and transfer."""
