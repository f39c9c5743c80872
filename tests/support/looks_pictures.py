"""Small pictures like photographs for the tests of looks, and clean results of them."""

from __future__ import annotations

import numpy as np

from edgeexpo.evaluation.looks.look import Seen
from edgeexpo.evaluation.simulated import expose
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.fusion import exposure_fusion

HEIGHT, WIDTH = 160, 192
"""Size of the pictures, in pixels."""


def coded(picture: np.ndarray) -> Picture:
    """Round a picture to 8 bits, float32 in [0, 1]."""
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255) / 255, np.float32)


def photograph(seed: int = 0) -> Picture:
    """Draw even coloured fields with strong edges, a texture in the middle and smooth waves."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.empty((HEIGHT, WIDTH, 3))
    picture[:] = (0.2, 0.32, 0.16)
    picture[:, WIDTH // 2 :] = (0.85, 0.62, 0.5)
    picture[HEIGHT // 2 :] *= (0.9, 0.95, 1.1)
    inside = (slice(40, HEIGHT - 40), slice(4, 60))
    picture[inside] += 0.08 * rng.standard_normal((HEIGHT - 80, 56, 1))
    picture += 0.03 * np.sin(rows / 23 + columns / 31)[..., None]
    return coded(picture)


def bracket() -> tuple[Picture, Picture]:
    """Expose the picture by -1.5 and +1 EV."""
    return expose(photograph(), -1.5), expose(photograph(), 1.0)


def fused() -> Seen:
    """See a clean fusion: that of Mertens, as the fusing networks' own back stage has it."""
    frames = bracket()
    grey = tuple(np.repeat(f.mean(axis=2, keepdims=True), 3, axis=2) for f in frames)
    picture = coded(exposure_fusion(frames, floor=1e-5))
    return Seen(
        frames,
        picture,
        grey=coded(exposure_fusion([coded(g) for g in grey], floor=1e-5)),
        lighter=(picture, coded(picture + 3 / 255)),
        periods=((8.0, 8.0), (4.0, 4.0)),
    )


def corrected() -> Seen:
    """See a clean correction: a gamma curve over a dark frame."""
    frame = expose(photograph(), -0.7)
    picture = coded(frame**0.7)
    grey = np.repeat(frame.mean(axis=2, keepdims=True), 3, axis=2)
    return Seen(
        (frame,),
        picture,
        grey=coded(grey**0.7),
        lighter=(picture, coded(picture + 3 / 255)),
        periods=((8.0, 8.0),),
    )
