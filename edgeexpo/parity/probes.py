"""Generated pictures on which image networks break: seeded, the same on every host."""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.color import linear_to_srgb, srgb_to_linear
from edgeexpo.imaging.samples import SPREAD, Sample

SIDE = 256
"""Height and width of a probe, in pixels."""


def probes(frame_count: int, side: int = SIDE) -> list[Sample]:
    """Every probe, re-exposed without noise into ``frame_count`` frames, 8-bit codes.

    Args:
        frame_count: Frames per sample, from -2 to +2 EV around the probe; one means the probe.
        side: Height and width in pixels.
    """
    return [_sample(name, picture, frame_count) for name, picture in _pictures(side).items()]


def extremes(frame_count: int, size: tuple[int, int]) -> list[Sample]:
    """Kin of the probes, none of them one: what calibration should have seen besides photographs.

    A network that makes its picture from features alone computes what it pleases where features
    leave the range of calibration; photographs hold few flat, saturated and blown areas.

    Args:
        frame_count: Frames per sample, as :func:`probes`.
        size: (height, width) in pixels.
    """
    side = max(size)
    known, full = _pictures(side), np.ones((side, side, 3))
    kin = {
        "dark": full * 0.1,
        "light": full * 0.8,
        "white": full,
        "waves": 1 - np.roll(known["zone-plate"], side // 3, axis=0),
        "colours": known["saturated-primaries"][::-1, ::-1].swapaxes(0, 1),
        "glare": np.roll(known["blown-highlights"], side // 4, axis=1) * (1, 0.9, 0.7),
        "slopes": known["ramps"].swapaxes(0, 1)[..., ::-1],
    }
    pictures = {name: picture[: size[0], : size[1]] for name, picture in kin.items()}
    return [_sample(name, picture, frame_count) for name, picture in pictures.items()]


def _sample(name: str, picture: np.ndarray, count: int) -> Sample:
    picture = picture.astype(np.float32)
    if count == 1:
        return Sample(name, (_codes(picture),), None)
    linear = srgb_to_linear(picture)
    evs = np.linspace(-SPREAD, SPREAD, count)
    frames = tuple(_codes(linear_to_srgb(np.clip(linear * 2.0**ev, 0, 1))) for ev in evs)
    return Sample(name, frames, float(evs[-1] - evs[0]), picture)


def _codes(picture: np.ndarray) -> np.ndarray:
    codes: np.ndarray = np.rint(np.clip(picture, 0, 1) * 255) / 255
    return codes.astype(np.float32)


def _pictures(side: int) -> dict[str, np.ndarray]:
    across = np.linspace(0, 1, side)[None, :, None]
    down = np.linspace(0, 1, side)[:, None, None]
    full = np.ones((side, side, 3))
    random = np.random.default_rng(0)
    ramps = full * across
    ramps[side // 2 :] *= np.array([1.0, 0.5, 0.1]) * down[side // 2 :]
    radius = (across - 0.5) ** 2 + (down - 0.5) ** 2
    zone = 0.5 + 0.5 * np.cos(np.pi * side / 2 * radius * 2)
    primaries = np.zeros((side, side, 3))
    colours = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
    for index, colour in enumerate(colours):
        left, right = index * side // 6, (index + 1) * side // 6
        primaries[:, left:right] = np.array(colour) * down
    blown = np.clip(full * (0.6 + 0.8 * np.exp(-radius * 12)), 0, 1)
    blown[side // 8 : side // 4, side // 8 : side // 4] = 0.05
    return {
        "ramps": ramps,
        "near-black": full * across * down * 0.06 + random.random((side, side, 3)) * 0.01,
        "blown-highlights": blown,
        "zone-plate": full * zone,
        "saturated-primaries": primaries,
        "constant-grey": full * 0.5,
    }
