"""Align registered and shaken brackets, and print how far the frames end from the truth.

    python benchmarks/alignment.py FOLDER [FOLDER ...] [--shakes 3]

Every FOLDER holds a bracket in each sub-folder. The darkest frame is aligned with the lightest one,
at no more than 1024 pixels. As they are, the frames are registered (or hand-held, as the row then
shows). The lightest one is then shaken, by up to 40 pixels and 2 degrees at random, and aligned
again. ``moved`` and ``error`` are the largest distances of the four corners, in pixels. An error of
a shaken frame counts the motion of the registered pair as the truth, so that hand-held pairs are
judged fairly.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgeexpo.imaging.alignment import align
from edgeexpo.imaging.keypoints import moved

Picture = npt.NDArray[np.float32]
LARGEST, SHIFT, TURN = 1024, 40.0, 2.0


def pairs(folder: Path) -> Iterator[tuple[str, Picture, Picture]]:
    """Yield the name of every bracket with its darkest and its lightest frame."""
    for bracket in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = [p for p in bracket.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
        frames = [cv2.imread(str(p)) for p in sorted(files) if p.stem != "reference"]
        frames = sorted((f for f in frames if f is not None), key=lambda frame: frame.mean())
        if len(frames) < 2 or frames[0].shape != frames[-1].shape:
            continue
        scale = min(1.0, LARGEST / max(frames[0].shape[:2]))
        dark, light = (
            cv2.resize(f[..., ::-1], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            for f in (frames[0], frames[-1])
        )
        yield bracket.name, dark.astype(np.float32) / 255, light.astype(np.float32) / 255


def shake(size: tuple[int, int], random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return a random motion of a frame of (height, width)."""
    height, width = size
    turn = cv2.getRotationMatrix2D(
        ((width - 1) / 2, (height - 1) / 2), random.uniform(-TURN, TURN), 1.0
    )
    turn[:, 2] += random.uniform(-SHIFT, SHIFT, 2)
    return np.vstack([turn, [0, 0, 1]])


def main() -> None:
    """Print a row for each bracket, and the figures over all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--shakes", type=int, default=3, help="shakes of each bracket (default 3)")
    args = parser.parse_args()
    random, errors, alone = np.random.default_rng(0), list[float](), 0
    print("| bracket | registered, moved | shaken, error | left alone |")
    print("|---|---|---|---|")
    for name, dark, light in (pair for folder in args.folders for pair in pairs(folder)):
        height, width = dark.shape[:2]
        corners = np.array([[x, y] for x in (0.0, width - 1.0) for y in (0.0, height - 1.0)])
        _, still = align([dark, light])
        reach = np.abs(moved(corners, still.matrices[1]) - corners).max()
        found, left = [], 0
        for _ in range(args.shakes):
            motion = shake((height, width), random)
            shaken = cv2.warpPerspective(
                light, motion, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
            )
            _, result = align([dark, np.clip(shaken, 0, 1)])
            if not result.accepted:
                left += 1
                continue
            truth = moved(moved(corners, still.matrices[1]), motion)
            found.append(float(np.abs(moved(corners, result.matrices[1]) - truth).max()))
        errors, alone = errors + found, alone + left
        shown = ", ".join(f"{error:.2f}" for error in found) or "-"
        print(f"| {name} | {reach:.2f} px | {shown} px | {left} |", flush=True)
    if errors:
        print(
            f"\nmedian {statistics.median(errors):.2f} px, worst {max(errors):.2f} px over "
            f"{len(errors)} shaken pairs; {alone} left alone"
        )


if __name__ == "__main__":
    main()
