"""Primaries of colour spaces: chromaticities, and matrices of linear light made of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Chromaticities = tuple[float, ...]
"""The chromaticities x and y of white, red, green and blue: eight numbers."""

D65 = (0.3127, 0.3290)
BT709: Chromaticities = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
D50_XYZ = np.array([0.9642, 1.0, 0.8249])
"""White of ICC's connection space, as profiles hold it."""

_NEAR = 0.003
"""Largest difference from the identity of a matrix that only stands for rounded chromaticities."""

_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def to_xyz(primaries: Chromaticities) -> npt.NDArray[np.float64]:
    """Return the 3x3 matrix from linear RGB to XYZ, adapted to D50 by Bradford's method.

    Raises:
        ValueError: The primaries span no colours, or one of them has no luminance.
    """
    points = np.reshape(primaries, (4, 2)).astype(np.float64)
    if not (points[:, 1] != 0).all():
        raise ValueError("a primary has no luminance")
    white, *columns = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in points)
    matrix = np.array(columns).T
    if abs(np.linalg.det(matrix)) < 1e-9:
        raise ValueError("the primaries lie on a line")
    matrix = matrix * np.linalg.solve(matrix, white)
    gains = (_BRADFORD @ D50_XYZ) / (_BRADFORD @ white)
    return np.asarray(np.linalg.inv(_BRADFORD) @ (gains[:, None] * (_BRADFORD @ matrix)))


def to_bt709(primaries: Chromaticities) -> npt.NDArray[np.float32] | None:
    """Return the 3x3 matrix from linear light of other primaries to BT.709.

    Returns:
        The matrix, or ``None`` for BT.709 and for BT.709 adapted to another white.

    Raises:
        ValueError: As :func:`to_xyz`.
    """
    matrix = np.linalg.solve(to_xyz(BT709), to_xyz(primaries)).astype(np.float32)
    return None if np.abs(matrix - np.eye(3)).max() < _NEAR else matrix
