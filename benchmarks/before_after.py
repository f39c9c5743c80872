"""The README's picture: two exposures of a held-out panorama, and what a bundle makes of them.

    python benchmarks/before_after.py BUNDLE docs/before-after.jpg --data MAPS [--map sunset]

The radiance map is photographed by the simulated camera of the trainings, at -EV/2 and +EV/2. Both
frames stand above the fused picture. The default map is one that no weights were trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.camera import Camera
from edgeexpo.imaging.files import write_picture
from edgeexpo.imaging.radiance import read_radiance
from edgeexpo.imaging.resize import resize
from edgeexpo.runtime import load

PICTURE_WIDTH = 1200
"""Width in pixels of the written picture."""

GAP = 8
"""Width in pixels of the white lines between the pictures."""


def panorama(radiance: Picture, first: float, last: float, turn: float) -> Picture:
    """The rows of an equirectangular map between two shares of its height, at native resolution.

    Args:
        radiance: HxWx3 linear radiance.
        first, last: Shares of the height, 0 at the zenith.
        turn: Share of the width by which the panorama is turned to the left.

    Returns:
        Linear radiance whose geometric mean is 0.18 of saturation.
    """
    height, width = radiance.shape[:2]
    rows = np.roll(radiance, -round(turn * width), axis=1)[
        round(first * height) : round(last * height)
    ]
    return np.asarray(rows * (0.18 / np.exp(np.log(rows.mean(axis=2) + 1e-6).mean())), np.float32)


def scaled(picture: Picture, width: int) -> Picture:
    """``picture`` at another width, its aspect unchanged; HxWx3 in [0, 1]."""
    height = round(picture.shape[0] * width / picture.shape[1])
    return np.clip(resize(picture, (height, width)), 0, 1)


def page(under: Picture, over: Picture, fused: Picture) -> Picture:
    """Both frames side by side above the fused picture; HxWx3 in [0, 1]."""
    half = (PICTURE_WIDTH - GAP) // 2
    frames = [scaled(under, half), scaled(over, half)]
    gap = np.ones((frames[0].shape[0], PICTURE_WIDTH - 2 * half, 3), np.float32)
    top = np.concatenate([frames[0], gap, frames[1]], axis=1)
    line = np.ones((GAP, PICTURE_WIDTH, 3), np.float32)
    return np.concatenate([top, line, scaled(fused, PICTURE_WIDTH)], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of radiance maps")
    parser.add_argument("--map", default="sunset", help="name of the map, without its suffix")
    parser.add_argument(
        "--rows", type=float, nargs=2, default=(0.22, 0.66), help="shares of the height"
    )
    parser.add_argument("--turn", type=float, default=0.0)
    parser.add_argument("--ev", type=float, default=4.0)
    given = parser.parse_args()
    first, last = given.rows
    radiance = panorama(read_radiance(given.data / f"{given.map}.hdr"), first, last, given.turn)
    rng = np.random.default_rng(0)
    camera = Camera.random(rng)
    under = camera.shoot(radiance, -given.ev / 2, rng)
    over = camera.shoot(radiance, given.ev / 2, rng)
    with load(given.bundle) as session:
        fused = session(under, over, ev=given.ev)
    write_picture(given.output, np.rint(page(under, over, fused) * 255).astype(np.uint8))


if __name__ == "__main__":
    main()
