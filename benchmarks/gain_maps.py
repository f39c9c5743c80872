"""Measure how exactly a JPEG with a gain map gives radiance back.

    python benchmarks/gain_maps.py [--picture FILE.hdr]

Ramps rise from 1 to 1000 cd/m^2: grey ones, and coloured ones whose channels rise and fall against
each other. White is at 203 cd/m^2. The base is the picture of ``run --tonemap durand``. There is a
row for files of edgeexpo and one for files of libultrahdr, which makes a base of its own. Two
decoders read them: the one of the tests (Pillow and NumPy) and libultrahdr's.

``worst`` and ``99 %`` are absolute errors of a channel in stops. ``step`` is the largest error of
the difference between neighbouring columns of the grey ramp in stops, of the mean over rows. A band
is a step of a fiftieth or more. With ``--picture``, a row for a radiance map follows. Its median
luminance is at 0.18 of white, and channels below 1 cd/m^2 do not count.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.gain_maps import BRIGHTEST, WHITE_NITS, encode_gain_map
from edgeexpo.imaging.radiance import read_radiance
from edgeexpo.imaging.tonemap import durand

NITS = np.geomspace(1, 1000, 1024, dtype=np.float32)
HEIGHT = 64


def ramps() -> dict[str, Picture]:
    """Return the ramps: HEIGHT x 1024 x 3 linear RGB, where 1 is white."""
    light = NITS / np.float32(WHITE_NITS)
    rows = {
        "grey ramp": np.stack([light, light, light], axis=1),
        "coloured ramp": np.stack([light, light[::-1], np.roll(light, 512)], axis=1),
    }
    return {name: np.repeat(row[None], HEIGHT, axis=0) for name, row in rows.items()}


def by_edgeexpo(light: Picture) -> bytes:
    """Encode radiance with the tone-mapped picture as its base."""
    return encode_gain_map(np.rint(durand(light) * 255).astype(np.uint8), light)


def by_libultrahdr(light: Picture) -> bytes:
    """Encode radiance with libultrahdr, quality 98 as well."""
    opaque = np.ones((*light.shape[:2], 1), np.float32)
    halves = np.concatenate([light, opaque], axis=2).astype(np.float16)
    return bytes(imagecodecs.ultrahdr_encode(halves, level=98, gamut=0, transfer=0, crange=1))


def decoders() -> dict[str, Any]:
    """Return the functions that give radiance back."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    tests = importlib.import_module("tests.support.gain_map_decoder")
    found = {"libultrahdr": lambda data: imagecodecs.ultrahdr_decode(data)[..., :3].astype(float)}
    return {"tests": tests.radiance, **found}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    scenes = ramps()
    if args.picture:
        light = read_radiance(args.picture)
        weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
        light = light * np.float32(0.18) / np.median(light @ weights)
        scenes[args.picture.name] = np.asarray(np.minimum(light, BRIGHTEST), np.float32)
    print("| radiance | file of | kB | decoder | worst | 99 % | step |")
    print("|---|---|---|---|---|---|---|")
    for scene, light in scenes.items():
        for writer, encode in (("edgeexpo", by_edgeexpo), ("libultrahdr", by_libultrahdr)):
            data = encode(light)
            for reader, decode in decoders().items():
                if writer == "libultrahdr" and reader == "tests":
                    continue  # The file has no XMP data and one channel's metadata.
                found = np.maximum(decode(data), 1e-6)
                error = np.abs(np.log2(found / np.maximum(light, 1e-9)))
                error = error[light >= 1 / WHITE_NITS]
                step = "-"
                if scene == "grey ramp":
                    columns = np.diff(np.log2(found.mean(axis=0)), axis=0)
                    step = f"{np.abs(columns - np.diff(np.log2(light[0]), axis=0)).max():.3f}"
                print(
                    f"| {scene} | {writer} | {len(data) / 1000:.0f} | {reader} | "
                    f"{error.max():.3f} | {np.quantile(error, 0.99):.3f} | {step} |"
                )


if __name__ == "__main__":
    main()
