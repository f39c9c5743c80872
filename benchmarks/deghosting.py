"""Deghost brackets with moving discs and static ones, and print what is left and what changes.

    python benchmarks/deghosting.py PICTURES [PICTURES ...] [--brackets FOLDER] [--seed 0]

PICTURES are folders of photographs or radiance maps (.hdr, .exr). A disc moves over each of them
from frame to frame by one to three times its radius: flat, or cut out of another picture. A
simulated camera photographs the scene at three exposures or at two, with noise, and with JPEG in
every second pair of scenes. ``left`` is the energy of the difference between the fusion of the
deghosted frames and the fusion of a scene whose disc stands where the reference frame shows it. It
is a share of the same energy without deghosting. Counted are pixels within 8 pixels of an edge of a
disc, and scenes in which the disc is seen. In the scenes that are ``shown``, the reference frame
neither clips nor is black there, in 95 % of the values. ``static`` is the largest change in codes
of the same scenes with a disc that stands still.

Every sub-folder of ``--brackets`` holds a real bracket. The share that is replaced in each frame is
printed, of all frames and of the darkest and the lightest alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edgeexpo.imaging.camera import Camera
from edgeexpo.imaging.color import srgb_to_linear
from edgeexpo.imaging.deghosting import best_exposed, deghost
from edgeexpo.imaging.fusion import exposure_fusion
from edgeexpo.imaging.mapping import HIGHEST, LOWEST
from edgeexpo.imaging.radiance import read_radiance

Picture = npt.NDArray[np.float32]
LONGEST, NEAR = 512, 8
VISIBLE = 1.0
"""Least energy without deghosting of a scene that counts: 2.5 codes over 10000 pixels."""

EXPOSURES = ((-2.0, 0.0, 2.0), (-2.0, 2.0), (-3.0, 1.0), (0.0, 3.0))


@dataclass(frozen=True)
class Scene:
    """Linear light HxWx3 of a background and of what moves, and the places and size of the disc."""

    background: Picture
    inside: Picture
    places: tuple[tuple[float, float], ...]
    radius: float

    def light(self, place: int) -> Picture:
        """Return the linear light of the scene with the disc at one of its places."""
        share = self.disc(place)[..., None]
        return np.asarray(self.background * (1 - share) + self.inside * share, np.float32)

    def disc(self, place: int) -> Picture:
        """Return the share of the disc in each pixel, HxW."""
        return np.clip(self.radius + 0.5 - self.distance(place), 0, 1).astype(np.float32)

    def distance(self, place: int) -> Picture:
        """Return the distance of each pixel from the disc's centre, HxW."""
        height, width = self.background.shape[:2]
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        x, y = self.places[place]
        return np.asarray(np.hypot(columns - x, rows - y), np.float32)


def pictures(folders: Sequence[Path]) -> list[Picture]:
    """Return the linear light of every picture, at no more than :data:`LONGEST` pixels."""
    found = []
    for file in sorted(file for folder in folders for file in folder.iterdir()):
        if file.suffix.lower() in (".hdr", ".exr"):
            light = read_radiance(file)
            height = light.shape[0]
            light = light[height // 4 : 3 * height // 4]
            light = light / np.percentile(light, 97)
        elif file.suffix.lower() in (".jpg", ".jpeg", ".png"):
            codes = cv2.imread(str(file))[..., ::-1].astype(np.float32) / 255
            light = np.asarray(srgb_to_linear(codes), np.float32)
        else:
            continue
        scale = min(1.0, LONGEST / max(light.shape[:2]))
        small = cv2.resize(light, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found.append(np.maximum(small, 0).astype(np.float32))
    return found


def scenes(lights: Sequence[Picture], count: int, rng: np.random.Generator) -> Iterator[Scene]:
    """Yield scenes with a disc that moves by a random distance from frame to frame."""
    for index in range(count):
        background = lights[index % len(lights)]
        height, width = background.shape[:2]
        radius = min(height, width) * rng.uniform(0.05, 0.14)
        if index % 2:
            other = lights[int(rng.integers(len(lights)))]
            inside = cv2.resize(other, (width, height), interpolation=cv2.INTER_AREA)
        else:
            colour = np.asarray(srgb_to_linear(rng.uniform(0.05, 0.95, 3)), np.float32)
            inside = np.broadcast_to(colour, background.shape)
        step = radius * rng.uniform(1, 3)
        angle = rng.uniform(0, 2 * np.pi)
        middle = np.array([rng.uniform(0.35, 0.65) * width, rng.uniform(0.35, 0.65) * height])
        way = step * np.array([np.cos(angle), np.sin(angle)])
        x, y, z = (tuple((middle + i * way).tolist()) for i in (-1, 0, 1))
        yield Scene(background, inside, (x, y, z), radius)


def shoot(
    scene: Scene, places: Sequence[int], evs: Sequence[float], seed: int, jpeg: bool
) -> list[Picture]:
    """Photograph a scene; the noise depends on the seed and the frame alone."""
    camera = replace(Camera.random(np.random.default_rng(seed)), jpeg_quality=90 if jpeg else None)
    return [
        camera.shoot(scene.light(place), ev, np.random.default_rng((seed, index)))
        for index, (place, ev) in enumerate(zip(places, evs, strict=True))
    ]


def moving(scene: Scene, index: int) -> tuple[float, float, float, float]:
    """Return the energy left and before, the static scene's largest change, and what is shown."""
    evs = EXPOSURES[index % len(EXPOSURES)]
    places = (0, 1, 2)[: len(evs)]
    jpeg = index // 2 % 2 == 1
    frames = shoot(scene, places, evs, index, jpeg)
    reference = best_exposed(frames)
    still = shoot(scene, [places[reference]] * len(evs), evs, index, jpeg)
    deghosted, _ = deghost(frames, reference=reference)
    distances = [abs(scene.distance(place) - scene.radius) for place in places]
    near = np.minimum.reduce(distances) <= NEAR
    truth = exposure_fusion(still)
    left, before = (
        float(np.sum((exposure_fusion(shown) - truth)[near] ** 2)) for shown in (deghosted, frames)
    )
    unmoved, _ = deghost(still, reference=reference)
    change = max(float(np.abs(a - b).max()) for a, b in zip(unmoved, still, strict=True))
    touched = np.minimum.reduce([scene.distance(place) for place in places]) <= scene.radius + NEAR
    codes = frames[reference][touched] * 255
    shown = float(np.mean((codes >= LOWEST) & (codes <= HIGHEST)))
    return left, before, 255 * change, shown


def real(folder: Path) -> Iterator[tuple[str, list[Picture]]]:
    """Yield the name of every bracket with its frames, darkest first."""
    for bracket in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = [p for p in bracket.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
        read = [cv2.imread(str(p)) for p in sorted(files) if p.stem != "reference"]
        frames = [f[..., ::-1].astype(np.float32) / 255 for f in read if f is not None]
        yield bracket.name, sorted(frames, key=lambda frame: float(frame.mean()))


def main() -> None:
    """Print the figures of the moving discs, and a row for each real bracket."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--brackets", type=Path, help="folder of real brackets")
    parser.add_argument("--scenes", type=int, default=78, help="scenes with a disc (default 78)")
    parser.add_argument("--seed", type=int, default=0, help="seed of discs and cameras (default 0)")
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    lights = pictures(args.folders)
    rng.shuffle(lights)
    found = [
        moving(scene, 4000 * args.seed + i)
        for i, scene in enumerate(scenes(lights, args.scenes, rng))
    ]
    left, before, static, shown = np.array(found).T
    for name, counted in (
        ("all", before >= VISIBLE),
        ("shown", (before >= VISIBLE) & (shown > 0.95)),
    ):
        shares = left[counted] / before[counted]
        print(
            f"{name}: {len(shares)} scenes, left {left[counted].sum() / before[counted].sum():.1%} "
            f"of their energy, median {np.median(shares):.1%}, worst tenth "
            f"{np.quantile(shares, 0.9):.1%}"
        )
    changed = int(np.count_nonzero(static > 1))
    print(f"static: {changed} of {len(static)} scenes change by more than a code\n", flush=True)
    if args.brackets is None:
        return
    print("| bracket | replaced in each frame | replaced in the two ends |")
    print("|---|---|---|")
    for name, frames in real(args.brackets):
        rows = [deghost(frames)[1], deghost([frames[0], frames[-1]])[1]]
        cells = [", ".join(f"{share:.2%}" for share in row.replaced) for row in rows]
        print(f"| {name} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
