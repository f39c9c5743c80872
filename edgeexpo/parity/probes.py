"""Generated pictures that reveal errors of image networks; seeds make them equal on every host."""

from __future__ import annotations

import numpy as np

from edgeexpo.imaging.color import linear_to_srgb, srgb_to_linear
from edgeexpo.imaging.samples import EV_SPREAD, Sample

PROBE_SIDE = 256
"""Height and width of a probe, in pixels."""

_FEWEST_BLOCKS, _FLAT, _UNRELATED = 24, 1e-6, 0.2
"""Thresholds of :func:`is_noise`.

They are the least number of blocks on a side, the least power, and the correlation of unrelated
neighbours as a share of the power.
"""


MOVING, SWAPPED, EQUAL = "moving-bracket", "swapped-frames", "equal-frames"
"""Names of the probes of several frames.

- ``MOVING``: an object moves between the frames.
- ``SWAPPED``: the same frames in the other order.
- ``EQUAL``: one picture in the place of every frame.
"""

PAN, PAN_FRAMES, PAN_STEP = "pan", 3, 8
"""The pan over one scene: prefix of the probes' names, number of pictures, distance in pixels."""

LARGER = "larger-and-odd"
"""Name of the probe above the artefact's largest size, with odd sides where tiles allow them."""


def probes(frame_count: int, side: int = PROBE_SIDE) -> list[Sample]:
    """Return every probe that is made from one picture.

    A picture is re-exposed without noise into frames: HxWx3 float32, sRGB in [0,1], 8-bit codes.

    Args:
        frame_count: Frames per sample, from -2 to +2 EV around the probe; one means the probe
            itself.
        side: Height and width in pixels.
    """
    pictures = _pictures(side) | panned(side)
    return [_sample(name, picture, frame_count) for name, picture in pictures.items()]


def bracket_probes(frame_count: int, side: int = PROBE_SIDE) -> list[Sample]:
    """Return the probes of relations between frames.

    They are :data:`MOVING`, :data:`SWAPPED` and :data:`EQUAL`.

    Args:
        frame_count: Frames per sample, at least two.
        side: Height and width in pixels.
    """
    scene = _scene(side, side, seed=1)
    frames = []
    for index, ev in enumerate(np.linspace(-EV_SPREAD, EV_SPREAD, frame_count)):
        picture = scene.copy()
        left = side // 8 + index * side // (4 * frame_count)
        picture[side // 4 : side // 2, left : left + side // 4] = (0.7, 0.3, 0.2)
        linear = srgb_to_linear(picture.astype(np.float32))
        frames.append(_codes(linear_to_srgb(np.clip(linear * 2.0**ev, 0, 1))))
    still = (_codes(scene),) * frame_count
    return [
        Sample(MOVING, tuple(frames), 2 * EV_SPREAD),
        Sample(SWAPPED, tuple(reversed(frames)), -2 * EV_SPREAD),
        Sample(EQUAL, still, 0.0),
    ]


def scene(name: str, frame_count: int, size: tuple[int, int]) -> Sample:
    """Return a scene of ``size``, for the probes of other sizes such as :data:`LARGER`.

    Args:
        name: Name of the probe.
        frame_count: Frames per sample, as :func:`probes`.
        size: (height, width) in pixels.
    """
    return _sample(name, _scene(*size, seed=2), frame_count)


def extremes(frame_count: int, size: tuple[int, int]) -> list[Sample]:
    """Return pictures similar to the probes, for calibration besides photographs.

    Photographs hold few flat, saturated and blown areas. A network that makes its picture from
    features alone is unpredictable where features leave the range of calibration. None of these
    pictures is a probe.

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
    return _cut(kin, frame_count, size)


def textures(frame_count: int, size: tuple[int, int]) -> list[Sample]:
    """Return pictures similar to the probes with harder detail than photographs.

    They are sparks and letters.

    Args:
        frame_count: Frames per sample, as :func:`probes`.
        size: (height, width) in pixels.
    """
    side = max(size)
    sparks = np.full((side, side, 3), 0.15)
    sparks[side // 12 :: side // 6, side // 12 :: side // 6] = (1, 0.9, 0.8)
    kin = {"sparks": sparks, "letters": 1 - _text(side).swapaxes(0, 1)}
    return _cut(kin, frame_count, size)


def grain(frame_count: int, size: tuple[int, int]) -> list[Sample]:
    """Return pictures similar to the noise probe, in colour and grey; a network corrects them most.

    Args:
        frame_count: Frames per sample, as :func:`probes`.
        size: (height, width) in pixels.
    """
    side, random = max(size), np.random.default_rng(7)
    grey = np.repeat(random.standard_normal((side, side, 1)), 3, axis=2)
    kin = {
        "grain": np.clip(0.5 + 0.15 * random.standard_normal((side, side, 3)), 0, 1),
        "grey-grain": np.clip(0.5 + 0.2 * grey, 0, 1),
    }
    return _cut(kin, frame_count, size)


def _cut(kin: dict[str, np.ndarray], frame_count: int, size: tuple[int, int]) -> list[Sample]:
    pictures = {name: picture[: size[0], : size[1]] for name, picture in kin.items()}
    return [_sample(name, picture, frame_count) for name, picture in pictures.items()]


def _sample(name: str, picture: np.ndarray, count: int) -> Sample:
    picture = picture.astype(np.float32)
    if count == 1:
        return Sample(name, (_codes(picture),), None)
    linear = srgb_to_linear(picture)
    evs = np.linspace(-EV_SPREAD, EV_SPREAD, count)
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
    checks = (np.indices((side, side)) // 4).sum(axis=0)[..., None] % 2
    impulses = full * 0.1
    impulses[side // 16 :: side // 8, side // 16 :: side // 8] = 1
    return {
        "ramps": ramps,
        "near-black": full * across * down * 0.06 + random.random((side, side, 3)) * 0.01,
        "blown-highlights": blown,
        "zone-plate": full * zone,
        "saturated-primaries": primaries,
        "constant-grey": full * 0.5,
        "constant-black": full * 0,
        "constant-white": full,
        "checkerboard": full * (0.2 + 0.6 * checks),
        "impulses": impulses,
        "text": _text(side),
        "noise": np.clip(0.5 + 0.15 * random.standard_normal((side, side, 3)), 0, 1),
    }


def panned(side: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the pictures of a pan over one scene, HxWx3 in [0.1,0.9], by their probes' names."""
    scene = _scene(side, side + (PAN_FRAMES - 1) * PAN_STEP, seed)
    return {f"{PAN}-{i}": scene[:, i * PAN_STEP :][:, :side] for i in range(PAN_FRAMES)}


def _scene(height: int, width: int, seed: int) -> np.ndarray:
    """Return a picture with the spectrum of photographs in muted colours: HxWx3 in [0.1,0.9]."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    waves = np.fft.rfft2(random.standard_normal((3, height, width))) / frequency**1.8
    light, red, blue = np.fft.irfft2(waves, (height, width))
    picture = np.stack([light + 0.3 * red, light, light + 0.3 * blue], axis=2)
    low, high = picture.min(), picture.max()
    return np.asarray(0.1 + 0.8 * (picture - low) / (high - low))


def _text(side: int) -> np.ndarray:
    """Draw dark letters on paper, and light letters on black in the lower half: HxWx3 in [0,1]."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("L", (side, side), 235)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, side // 2, side, side), fill=10)
    font = ImageFont.load_default_imagefont()
    for top in range(2, side - 10, 12):
        ink = 20 if top < side // 2 - 12 else 245
        draw.text((2, top), "Sphinx of black quartz, judge my vow 0123456789 " * 3, ink, font)
    return np.repeat(np.asarray(image, np.float64)[..., None] / 255, 3, axis=2)


def is_noise(picture: np.ndarray) -> bool:
    """Return true when a picture is random: neighbouring pixels or blocks are uncorrelated.

    Blocks have sides of 2, 4, 8, 16 and so on. Neighbours in photographs are similar at every
    scale; magnified noise is random at its own scale.

    Args:
        picture: HxWx3 float, [0,1].
    """
    grey = picture.mean(axis=2)
    while min(grey.shape) >= _FEWEST_BLOCKS:
        centred = grey - grey.mean()
        power = float((centred**2).mean())
        if power < _FLAT:
            return False
        across = float((centred[:, 1:] * centred[:, :-1]).mean())
        down = float((centred[1:] * centred[:-1]).mean())
        if max(across, down) < _UNRELATED * power:
            return True
        height, width = (side // 2 * 2 for side in grey.shape)
        grey = grey[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    return False
