"""Training pairs for exposure interpolation: the front stage's y0, and the true exposure.

Radiance comes from perspective views of equirectangular maps and from photographs that are
converted back to linear light. A simulated camera takes the bracket, so the exposure half way is
known exactly.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.camera import Camera
from edgeexpo.imaging.interpolation import intermediate
from edgeexpo.imaging.radiance import read_radiance
from edgeexpo.progress import note

HELD_OUT = ("lab", "hall", "bridge", "blender_city", "sunset")
"""Names of the radiance maps that are for evaluation only."""

_WORST_MISFIT = 10**-3.7
_TRIES = 20


@dataclass(frozen=True)
class ShotBracket:
    """A bracket of two frames and the true exposure half way between them.

    Attributes:
        under: The shorter exposure, HxWx3 float32 in [0, 1], encoded by the camera's response.
        over: The longer exposure, of the same shape, range and encoding.
        truth: The exposure half way, of the same shape, range and encoding, without noise.
        ev: log2 of the exposure ratio over/under.
        camera: Camera that took the frames.
    """

    under: Picture
    over: Picture
    truth: Picture
    ev: float
    camera: Camera


def radiance_maps(folder: Path, *, held_out: bool) -> dict[str, Picture]:
    """Read the radiance maps of a folder, either the held-out maps or all others.

    Damaged files are skipped. Notes on stderr name and count them.

    Args:
        folder: Folder of ``.hdr`` and ``.exr`` files.
        held_out: True for the maps in :data:`HELD_OUT`, False for all others.

    Returns:
        Maps by name, HxWx3 float32 linear radiance, >= 0.

    Raises:
        UsageError: The folder has no ``.hdr`` or ``.exr`` file of the wanted kind that can be read.
        MissingDependencyError: There are ``.exr`` files and the OpenEXR package is not installed.
    """
    files = [*sorted(folder.glob("*.hdr")), *sorted(folder.glob("*.exr"))]
    maps: dict[str, Picture] = {}
    damaged = []
    for path in (p for p in files if (p.stem in HELD_OUT) == held_out):
        try:
            maps[path.name if path.stem in maps else path.stem] = read_radiance(path)
        except PictureError as error:
            damaged.append(path.name)
            note(f"edgeexpo: skipped: {error}")
    if damaged:
        note(f"edgeexpo: {len(damaged)} radiance maps skipped: {', '.join(damaged)}")
    if not maps:
        raise UsageError(
            f"{folder} has no radiance maps; expected equirectangular .hdr or .exr files"
        )
    return maps


def perspective(
    radiance: Picture, size: int, yaw: float, pitch: float, field_of_view: float
) -> Picture:
    """Render a pinhole camera's view into an equirectangular map, with bilinear sampling.

    Args:
        radiance: HxWx3 linear radiance, 360 by 180 degrees.
        size: Height and width of the view, in pixels.
        yaw: Direction in radians, 0 at the map's middle.
        pitch: Elevation in radians, positive up.
        field_of_view: Horizontal field of view in radians, below pi.

    Returns:
        size x size x 3 float32 linear radiance.
    """
    height, width = radiance.shape[:2]
    axis = np.tan(field_of_view / 2) * (2 * (np.arange(size) + 0.5) / size - 1)
    right, down = np.meshgrid(axis, axis)
    up = np.sin(pitch) - down * np.cos(pitch)
    ahead = np.cos(pitch) + down * np.sin(pitch)
    longitude = np.arctan2(right, ahead) + yaw
    latitude = np.arctan2(up, np.hypot(right, ahead))
    column = (longitude / (2 * np.pi) + 0.5) * width - 0.5
    row = np.clip((0.5 - latitude / np.pi) * height - 0.5, 0, height - 1.001)
    x, y = np.floor(column).astype(int), np.floor(row).astype(int)
    fx, fy = (column - x)[..., None], (row - y)[..., None]
    left, right_of = x % width, (x + 1) % width
    top = radiance[y, left] * (1 - fx) + radiance[y, right_of] * fx
    bottom = radiance[y + 1, left] * (1 - fx) + radiance[y + 1, right_of] * fx
    return np.asarray(top * (1 - fy) + bottom * fy, np.float32)


def random_view(radiance: Picture, size: int, rng: np.random.Generator) -> Picture:
    """Render a random view whose geometric mean is within 1 EV of 0.18 of saturation.

    Args:
        radiance: HxWx3 linear radiance, 360 by 180 degrees.
        size: Height and width of the view, in pixels.
        rng: Generator of the direction, the field of view (50 to 95 degrees) and the scale.

    Returns:
        size x size x 3 float32 linear radiance.
    """
    view = perspective(
        radiance,
        size,
        yaw=rng.uniform(-np.pi, np.pi),
        pitch=rng.uniform(-0.5, 0.5),
        field_of_view=np.deg2rad(rng.uniform(50, 95)),
    )
    key = np.exp(np.log(view.mean(axis=2) + 1e-6).mean())
    return np.asarray(view * (0.18 / key * 2 ** rng.uniform(-1, 1)), np.float32)


def shoot_bracket(
    radiance: Picture, ev: float, rng: np.random.Generator, camera: Camera | None = None
) -> ShotBracket:
    """Photograph ``radiance`` at -ev/2 and +ev/2, with the truth at 0 EV.

    Args:
        radiance: HxWx3 linear radiance. At EV 0, radiance 1 just saturates.
        ev: log2 of the exposure ratio.
        rng: Generator of the noise, and of the camera when ``camera`` is missing.
        camera: Camera that takes the frames, by default a random camera.
    """
    camera = camera or Camera.random(rng)
    return ShotBracket(
        camera.shoot(radiance, -ev / 2, rng),
        camera.shoot(radiance, ev / 2, rng),
        camera.expose(radiance, 0.0),
        ev,
        camera,
    )


def any_camera(rng: np.random.Generator) -> Camera:
    """Draw a random camera from a wider range than :meth:`Camera.random`.

    Half of the cameras have up to 64 times the full well, for large sensors and for pictures that
    are scaled down. Half of the cameras deliver JPEG frames of quality 85 to 95.
    """
    camera = Camera.random(rng)
    return dataclasses.replace(
        camera,
        full_well=camera.full_well * (64 ** rng.random() if rng.random() < 0.5 else 1.0),
        jpeg_quality=int(rng.integers(85, 96)) if rng.random() < 0.5 else None,
    )


def interpolation_pair(radiance: Picture, rng: np.random.Generator) -> tuple[Picture, Picture]:
    """Make ``y0`` of a bracket of ``radiance``, and the true exposure half way.

    The EV is 4 for half of the brackets, and otherwise uniform in 2 to 5. One bracket in eight is
    interpolated as if the EV were unknown, and one in eight with the camera's own response. The
    others are interpolated as the runtime does.

    A bracket is shot again with another camera when its y0 is below 37 dB against the y0 by the
    camera's own response. The histograms of such a bracket do not reveal the response, and its
    pixels cannot reveal it either.

    Args:
        radiance: HxWx3 linear radiance. At EV 0, radiance 1 just saturates.
        rng: Generator of the bracket.

    Returns:
        ``y0`` and the truth, HxWx3 float32 in [0, 1], encoded by the camera's response.
    """
    for _ in range(_TRIES):
        ev = 4.0 if rng.random() < 0.5 else rng.uniform(2, 5)
        bracket = shoot_bracket(radiance, ev, rng, any_camera(rng))
        y0 = _front(bracket, rng)
        if np.mean((y0 - _ideal(bracket)) ** 2) <= _WORST_MISFIT:
            break
    return y0, bracket.truth


def _front(bracket: ShotBracket, rng: np.random.Generator) -> Picture:
    draw = rng.random()
    if draw < 1 / 8:
        return intermediate(bracket.under, bracket.over, ev=None, levels=255)
    if draw < 2 / 8:
        return _ideal(bracket)
    return intermediate(bracket.under, bracket.over, ev=bracket.ev, levels=255)


def _ideal(bracket: ShotBracket) -> Picture:
    table = bracket.camera.table
    return intermediate(bracket.under, bracket.over, ev=bracket.ev, response=table, levels=255)
