"""Measure how steady a network's radiance of one scene is while a camera pans over it.

    python benchmarks/flicker.py --data MAPS [--model expandnet] [--weights FILE] [--frames 16]

The scenes are the held-out radiance maps. A camera of fixed exposure takes one view of each:
640x256 pixels, 90 degrees wide, sRGB response, no noise, 8 bits. The geometric mean is at 0.18 of
saturation. A window of 256x256 moves over the view by 16 pixels a frame. The overlap of two
neighbouring frames is the same in every pixel, so a steady network gives the same radiance there.

There are two rows. The first is for pictures with a fixed range, as edgeexpo takes them. The second
is for pictures stretched to [0, 1] by their own smallest and largest value, as in the authors'
released code. ``flicker`` is the mean, over neighbouring frames, of the absolute change of mean
log2 radiance in the overlap. ``worst`` is the largest change. Both are in stops.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np

from edgeexpo.evaluation.predict import float_session
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.camera import Camera
from edgeexpo.imaging.response import srgb
from edgeexpo.progress import track
from edgeexpo.runtime import Session
from edgeexpo.training.synthesis import perspective, radiance_maps

SIDE, WIDE, STEP = 256, 640, 16
"""Sides of the window and the width of the view, and the step of a frame, in pixels."""

SMALLEST = 2.0**-12
"""Smallest radiance, relative to the largest; a logarithm of noise below it has no meaning."""


def pan(radiance: Picture, frames: int) -> list[Picture]:
    """Return windows of one picture of a map, SIDE x SIDE x 3, each STEP pixels to the right."""
    view = perspective(radiance, WIDE, yaw=0.0, pitch=0.0, field_of_view=np.deg2rad(90))
    view = view[(WIDE - SIDE) // 2 :][:SIDE]
    view = view * np.float32(0.18 / np.exp(np.log(view.mean(axis=2) + 1e-6).mean()))
    codes = np.rint(Camera(srgb()).expose(view, 0.0) * 255) / np.float32(255)
    return [codes[:, i * STEP : i * STEP + SIDE].astype(np.float32) for i in range(frames)]


def stretched(picture: Picture) -> Picture:
    """Return a picture with its smallest value at 0 and its largest at 1."""
    low, high = picture.min(), picture.max()
    return np.asarray((picture - low) / max(high - low, np.float32(1e-6)), np.float32)


def changes(session: Session, pictures: list[Picture]) -> list[float]:
    """Return the changes of mean log2 radiance between neighbouring frames, in stops."""
    logs = [np.log2(np.maximum(session(picture), SMALLEST)) for picture in pictures]
    return [
        float(abs((after[:, :-STEP] - before[:, STEP:]).mean()))
        for before, after in itertools.pairwise(logs)
    ]


def main() -> None:
    """Print one line per row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of radiance maps")
    parser.add_argument("--model", default="expandnet")
    parser.add_argument("--weights", type=Path, help="default: the network's own")
    parser.add_argument("--frames", type=int, default=16)
    given = parser.parse_args()
    frames = min(given.frames, (WIDE - SIDE) // STEP + 1)
    found: dict[str, list[float]] = {"fixed range": [], "stretched frame by frame": []}
    maps = radiance_maps(given.data, held_out=True)
    with float_session(given.model, given.weights) as session:
        for radiance in track(list(maps.values()), "Panning"):
            pictures = pan(radiance, frames)
            found["fixed range"] += changes(session, pictures)
            found["stretched frame by frame"] += changes(session, [stretched(p) for p in pictures])
    print(f"{given.model}: {frames} frames over each of {', '.join(maps)}")
    for name, values in found.items():
        print(f"  {name:26}flicker {np.mean(values):.4f}  worst {max(values):.4f}")


if __name__ == "__main__":
    main()
