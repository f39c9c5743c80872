"""Scenes simulated from photographs and radiance maps, with exact exposures and exact truth."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from edgeexpo.errors import PictureError, UsageError
from edgeexpo.evaluation.scene import Scene, Skipped
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.camera import Camera, re_expose
from edgeexpo.imaging.color import linear_to_srgb, srgb_to_linear
from edgeexpo.imaging.files import PICTURE_SUFFIXES, read_picture
from edgeexpo.imaging.fusion import exposure_fusion
from edgeexpo.imaging.radiance import RADIANCE_SUFFIXES as MAPS
from edgeexpo.imaging.radiance import read_radiance
from edgeexpo.imaging.samples import to_float
from edgeexpo.spec import ModelSpec
from edgeexpo.training.synthesis import HELD_OUT, random_view

_EXPOSURE_ERRORS = (-1.5, -1.0, 0.0, 1.0, 1.5)
"""Exposure errors in EV, as in the Exposure-Errors data (Afifi et al., CVPR 2021)."""

PAIRS: Mapping[str, tuple[float, ...]] = {
    "low EV pairs": (-1.5, -1.0),
    "high EV pairs": (0.0, 1.0, 1.5),
    "all EV pairs": _EXPOSURE_ERRORS,
}
"""Exposures whose pairs the distilled fusion networks are tested on, by row of the table."""

_EV_SPREAD = 2.0
"""Spread in EV of the frames of a simulated bracket from the middle exposure."""

VIEW = 512
"""Height and width of a view of a radiance map, in pixels."""

DENSE = tuple(np.linspace(-4, 4, 9))
"""Dense exposures in EV, whose fusion is the truth of a two-frame fusion on radiance maps."""


def photograph_scenes(
    source: Path, spec: ModelSpec, skipped: Skipped, held_out: bool
) -> Iterator[Scene]:
    """Yield scenes from every photograph of a folder, re-exposed as the network needs.

    For correction and fusion the response is sRGB, ``c(min(1, 2^EV l))`` rounded to 8 bits, and
    the truth is the photograph. For reconstruction the photograph is both frame and truth. For
    interpolation a simulated camera (:func:`edgeexpo.imaging.camera.re_expose`) photographs it at
    -2 and +2 EV, and at 0 EV for the truth.

    Args:
        source: Folder of photographs.
        spec: Spec of the network, whose ``kind`` decides the scenes.
        skipped: Collector that is told of every file that cannot be read.
        held_out: True for only the photographs that are held out from training.
    """
    from edgeexpo.training.scenes import held_out_photograph

    for file in sorted(f for f in source.iterdir() if f.suffix.lower() in PICTURE_SUFFIXES):
        if held_out and not held_out_photograph(file.stem):
            continue
        try:
            photograph = to_float(read_picture(file))
        except PictureError as error:
            skipped(str(file), str(error))
            continue
        yield from _photograph(file.name, photograph, spec)


def _photograph(name: str, photograph: Picture, spec: ModelSpec) -> Iterator[Scene]:
    if spec.kind == "interpolation":
        under, over, truth = re_expose(photograph, (-_EV_SPREAD, _EV_SPREAD, 0.0), seed=len(name))
        frames = (under, over)
        yield Scene(
            name, ("photographs",), frames, truth, "middle exposure", 2 * _EV_SPREAD, frames, frames
        )
    elif spec.kind == "reconstruction":
        yield Scene(name, ("photographs",), (photograph,), photograph, "photograph")
    elif spec.kind == "correction":
        for ev in _EXPOSURE_ERRORS:
            groups = (f"photographs at {ev:+g} EV", *(("photographs, wrong EV",) if ev else ()))
            yield Scene(
                f"{name} {ev:+g} EV",
                groups,
                (expose(photograph, ev),),
                photograph,
                "photograph",
                subject=name,
            )
    else:
        shots = {ev: expose(photograph, ev) for ev in _EXPOSURE_ERRORS}
        for dark, bright in itertools.combinations(_EXPOSURE_ERRORS, 2):
            groups = tuple(g for g, evs in PAIRS.items() if {dark, bright} <= set(evs))
            frames = (shots[dark], shots[bright])
            yield Scene(
                f"{name} {dark:+g} {bright:+g} EV",
                tuple(f"photographs, {g}" for g in groups),
                frames,
                photograph,
                "photograph",
                bright - dark,
                frames,
                frames,
            )


def expose(photograph: Picture, ev: float) -> Picture:
    """Return a photograph as if it were exposed ``ev`` EV brighter.

    Linear light is multiplied by ``2**ev``, clipped, and encoded to 8-bit sRGB.

    Args:
        photograph: HxWx3, sRGB-encoded, [0, 1].
        ev: Exposure value relative to the photograph.

    Returns:
        HxWx3 float32, sRGB-encoded, [0, 1], multiples of 1/255.
    """
    encoded = linear_to_srgb(np.minimum(srgb_to_linear(photograph) * np.float32(2.0**ev), 1))
    return np.asarray(np.rint(encoded * 255) / 255, np.float32)


def radiance_scenes(
    source: Path, spec: ModelSpec, skipped: Skipped, views: int = 40, size: int | None = None
) -> Iterator[Scene]:
    """Yield scenes from views of radiance maps, by the held-out protocol.

    - Only the maps in :data:`edgeexpo.training.synthesis.HELD_OUT` are used if the folder has any.
    - The seed is 0, and the maps take turns.
    - A view is 50 to 95 degrees wide, with its geometric mean within 1 EV of 0.18 of saturation.
    - Each view has a random camera: EMoR response, photon and read noise, 8 bits, no JPEG.

    Args:
        source: Folder of ``.hdr`` and ``.exr`` maps.
        spec: Spec of the network, whose ``kind`` decides the scenes.
        skipped: Collector that is told of every file that cannot be read.
        views: Number of views.
        size: Height and width of a view in pixels, by default :data:`VIEW`.

    Raises:
        UsageError: The folder has no readable radiance map.
    """
    maps = list(_maps(source, skipped).values())
    if not maps:
        raise UsageError(f"{source} has no readable radiance map; expected equirectangular .hdr")
    rng = np.random.default_rng(0)
    for index in range(views):
        view = random_view(maps[index % len(maps)], size or VIEW, rng)
        yield from _view(f"view {index}", view, spec, rng)


def _view(name: str, view: Picture, spec: ModelSpec, rng: np.random.Generator) -> Iterator[Scene]:
    camera = Camera.random(rng)
    if spec.kind == "hdr":
        shot = camera.shoot(view, 0.0, rng)
        yield Scene(name, ("radiance maps",), (shot,), view, "radiance")
    elif spec.kind in ("correction", "reconstruction"):
        for ev in _EXPOSURE_ERRORS if spec.kind == "correction" else (0.0,):
            shot = camera.shoot(view, ev, rng)
            truth = camera.expose(view, 0.0) if spec.kind == "correction" else shot
            group = f"radiance maps at {ev:+g} EV"
            label = f"{name} {ev:+g} EV"
            yield Scene(label, (group,), (shot,), truth, "photograph", subject=name)
    else:
        frames = tuple(camera.shoot(view, ev, rng) for ev in (-_EV_SPREAD, _EV_SPREAD))
        truth, kind, stack = camera.expose(view, 0.0), "middle exposure", frames
        if spec.kind == "fusion":
            stack = tuple(camera.expose(view, ev) for ev in DENSE)
            truth, kind = exposure_fusion(stack), "dense fusion"
        yield Scene(name, ("radiance maps",), frames, truth, kind, 2 * _EV_SPREAD, frames, stack)


def _maps(source: Path, skipped: Skipped) -> dict[str, Picture]:
    files = [f for suffix in MAPS for f in sorted(source.glob(f"*{suffix}"))]
    chosen = [f for f in files if f.stem in HELD_OUT] or files
    maps = {}
    for file in chosen:
        try:
            maps[file.name] = read_radiance(file)
        except PictureError as error:
            skipped(str(file), str(error))
    return maps
