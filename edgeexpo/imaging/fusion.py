"""Exposure fusion: one picture from several exposures, without a radiance map.

Follows T. Mertens, J. Kautz, F. Van Reeth, "Exposure fusion", Pacific Graphics 2007, as OpenCV's
``createMergeMertens`` computes it (the test holds the two together).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgeexpo.errors import PictureError

Picture = npt.NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def exposure_fusion(
    frames: Sequence[npt.ArrayLike],
    *,
    contrast: float = 1.0,
    saturation: float = 1.0,
    exposedness: float = 1.0,
    sigma: float = 0.2,
    floor: float = 1e-12,
) -> Picture:
    """Blend exposures by contrast, saturation and well-exposedness over Laplacian pyramids.

    Args:
        frames: One or more HxWx3 pictures of the same size, sRGB-encoded, [0, 1].
        contrast: Exponent of the Laplacian's magnitude; 0 switches the measure off.
        saturation: Exponent of the deviation across channels.
        exposedness: Exponent of the closeness to mid-grey.
        sigma: Standard deviation of that closeness, on the [0, 1] scale.
        floor: Added to every weight. OpenCV's is 1e-12; where all weights are small (flat or grey
            areas) the noise of 8 bits then decides which frame is shown. A floor above that noise
            shows the mean of the frames there.

    Returns:
        HxWx3 float32, sRGB-encoded, clipped to [0, 1].

    Raises:
        PictureError: No frames, not HxWx3, or sizes that differ.
    """
    pictures = _checked(frames)
    weights = [
        _weight(p, contrast, saturation, exposedness, sigma) + np.float32(floor) for p in pictures
    ]
    total = np.sum(weights, axis=0)
    height, width = total.shape
    levels = int(np.log2(min(height, width)))
    blended: list[Picture] = []
    for picture, weight in zip(pictures, weights, strict=True):
        masks = gaussian_pyramid((weight / total)[..., None], levels)
        for level, band in enumerate(laplacian_pyramid(picture, levels)):
            part = band * masks[level]
            if len(blended) == level:
                blended.append(part)
            else:
                blended[level] += part
    result = blended[-1]
    for band in blended[-2::-1]:
        result = upsample(result, band.shape[:2]) + band
    return np.clip(result, 0, 1)


def gaussian_pyramid(picture: Picture, levels: int) -> list[Picture]:
    """``picture`` and ``levels`` copies of it, each half the size of the one before."""
    pyramid = [picture]
    for _ in range(levels):
        pyramid.append(downsample(pyramid[-1]))
    return pyramid


def laplacian_pyramid(picture: Picture, levels: int) -> list[Picture]:
    """``levels`` bands of detail and the smallest copy; upsampling and adding restores all."""
    pyramid = gaussian_pyramid(picture, levels)
    for level in range(levels):
        pyramid[level] = pyramid[level] - upsample(pyramid[level + 1], pyramid[level].shape[:2])
    return pyramid


def downsample(picture: Picture) -> Picture:
    """Half size, rounded up, after the filter 1 4 6 4 1 (P. Burt, E. Adelson, 1983)."""
    return _halve(_halve(picture).swapaxes(0, 1)).swapaxes(0, 1)


def upsample(picture: Picture, size: tuple[int, int]) -> Picture:
    """Double size, cut to ``size`` (height, width), interpolated by the same filter."""
    tall = _double(picture, size[0])
    return _double(tall.swapaxes(0, 1), size[1]).swapaxes(0, 1)


def _halve(picture: Picture) -> Picture:
    padded = np.pad(picture, ((2, 2), (0, 0), (0, 0)), mode="reflect")
    count = (len(picture) + 1) // 2
    tap = [padded[offset : offset + 2 * count - 1 : 2] for offset in range(5)]
    sides = tap[0] + tap[4] + np.float32(4) * (tap[1] + tap[3])
    return np.asarray((sides + np.float32(6) * tap[2]) * np.float32(1 / 16))


def _double(picture: Picture, length: int) -> Picture:
    out = np.empty((length, *picture.shape[1:]), np.float32)
    before = np.concatenate([picture[1:2] if len(picture) > 1 else picture[:1], picture[:-1]])
    after = np.concatenate([picture[1:], picture[-1:]])
    out[0::2] = (before + np.float32(6) * picture + after)[: (length + 1) // 2] * np.float32(1 / 8)
    out[1::2] = (picture + after)[: length // 2] * np.float32(0.5)
    return out


def _weight(
    picture: Picture, contrast: float, saturation: float, exposedness: float, sigma: float
) -> Picture:
    weight = np.ones(picture.shape[:2], np.float32)
    if contrast:
        weight *= _power(_laplacian(picture @ _LUMA), contrast)
    if saturation:
        red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
        mean = ((red + green + blue) * (1 / 3)).astype(np.float32)
        square = np.square(red - mean) + np.square(green - mean) + np.square(blue - mean)
        weight *= _power(np.sqrt(square), saturation)
    if exposedness:
        distance = np.square(picture - np.float32(0.5)).sum(axis=2)
        weight *= _power(np.exp(distance * np.float32(-0.5 / sigma**2)), exposedness)
    return weight


def _power(values: Picture, exponent: float) -> Picture:
    return values if exponent == 1 else np.power(values, np.float32(exponent))


def _laplacian(grey: Picture) -> Picture:
    padded = np.pad(grey, 1, mode="reflect")
    around = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return np.abs(around - np.float32(4) * grey)


def _checked(frames: Sequence[npt.ArrayLike]) -> list[Picture]:
    if not len(frames):
        raise PictureError("exposure fusion got no frames; expected at least one")
    pictures: list[Picture] = []
    for index, frame in enumerate(frames):
        picture = np.asarray(frame, np.float32)
        if picture.ndim != 3 or picture.shape[2] != 3:
            found = "x".join(map(str, picture.shape))
            raise PictureError(f"frame {index} is {found}; expected HxWx3")
        if pictures and picture.shape != pictures[0].shape:
            raise PictureError(f"frame {index} has another size than frame 0; align them first")
        pictures.append(picture)
    return pictures
