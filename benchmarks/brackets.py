"""Run real brackets through every artefact: print their sizes, and INT8's PSNR against fp32.

    python benchmarks/brackets.py BUNDLE DATA

DATA holds one folder per bracket. The darkest and the brightest frame of a bracket are fused
(``reference.*`` is left out). Off macOS the MIL interpreter runs Core ML artefacts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.cli.output import table
from edgeexpo.imaging.files import read_picture
from edgeexpo.parity.metrics.pictures import psnr
from edgeexpo.progress import track
from edgeexpo.runtime import load
from edgeexpo.runtime.engines.base import interpreter


def extremes(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the darkest and the brightest frame of a bracket, HxWx3 uint8."""
    files = [
        f
        for f in sorted(folder.iterdir())
        if f.suffix.lower() in (".jpg", ".png") and f.stem != "reference"
    ]
    frames = sorted((read_picture(f) for f in files), key=lambda p: float(p.mean()))
    return frames[0], frames[-1]


def fuse(bundle: Bundle, artifact: Artifact, frames: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Run one artefact on one bracket."""
    target, precision = artifact.target, artifact.precision
    engine = interpreter(target, bundle.manifest.model)
    with load(bundle.path, target=target, precision=precision, engine=engine) as session:
        return session(*frames)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    bundle = Bundle.open(given.bundle)
    artifacts = bundle.manifest.artifacts
    rows = []
    for folder in track(sorted(f for f in given.data.iterdir() if f.is_dir()), "Brackets"):
        frames = extremes(folder)
        fused = {(a.target, a.precision): fuse(bundle, a, frames) for a in artifacts}
        assert all(picture.shape == frames[0].shape for picture in fused.values())
        row: dict[str, object] = {
            "bracket": folder.name,
            "HxW": "x".join(map(str, frames[0].shape[:2])),
        }
        for target in dict.fromkeys(a.target for a in artifacts):
            pair = [fused[target, p].astype(np.float32) / 255 for p in ("fp32", "int8")]
            row[f"{target} dB"] = round(psnr(*pair), 2)
        rows.append(row)
    print(table(rows, list(rows[0])))


if __name__ == "__main__":
    main()
