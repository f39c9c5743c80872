"""Rendering: a network's small result as the tone and the colour of a full-size picture.

The frames decide the structure of the picture (:mod:`edgeexpo.imaging.structure`). The network
decides its tone and how strong its colours are. So details are the frames' own, and what a small
copy cannot show (weave, borders, a tint of greys) does not reach the picture.

- Luma is the structure's, plus a local affine function of every frame's luma. The function is
  fitted to the network's small result (:func:`edgeexpo.imaging.local_affine.fit_bounded`).
- Colour differences are the structure's. They are scaled with luma, and by a local gain that
  follows the network's strength of colour where the hues agree.
- The hue is the network's only where no frame shows one, because it is near black or near clipping.

All channels are weighted alike, so what is grey in every frame stays grey.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.coded import (
    ByteWriter,
    CodedPicture,
    byte_windows,
    into_bytes,
    into_planes,
)
from edgeexpo.imaging.enlarging import WindowTaps, enlarged, window_taps
from edgeexpo.imaging.fusion import frame_shares, luma_plane
from edgeexpo.imaging.guided import decode
from edgeexpo.imaging.kernels import kernel_module
from edgeexpo.imaging.local_affine import box_mean, fit_bounded
from edgeexpo.imaging.raster import (
    WINDOW_SIDE,
    Computed,
    Raster,
    Window,
    sides,
    whole_picture,
    write_raster,
)
from edgeexpo.imaging.resize import resize
from edgeexpo.imaging.scratch import copy_planes, planar, planes, scope, scratch_array
from edgeexpo.imaging.structure import MEASURES, apply_structure, structure_maps

DARKEST = np.float32(1e-4)
"""Least luma by which a change of luma is divided."""

BRIGHTER = np.float32(4)
"""Largest factor by which colour differences grow with luma."""

WEAK = np.float32(1e-5)
"""Mean square of a colour difference that is as weak as rounding; gains do not follow it."""


@dataclass(frozen=True)
class Rendering:
    """The parameters of a rendering.

    Attributes:
        radius: Radius in pixels of the small picture of the windows in which tone is fitted.
        eps: Variance of a frame's luma below which a window counts as flat.
        least_slope, largest_slope: Bounds of the slopes that are added to the structure's luma.
        least_gain, largest_gain: Bounds of the gain of colour differences.
        spread: Radius in pixels of the small picture over which colour strengths are averaged,
            twice.
        hue_floor: Chroma, on the [0, 1] scale, below which the structure counts as grey and gets no
            hue from the network.
        largest_hue: Largest colour difference, on the [0, 1] scale, that the network adds.
    """

    radius: int = 8
    eps: float = 3.5e-4
    least_slope: float = -0.25
    largest_slope: float = 0.8
    least_gain: float = 0.6
    largest_gain: float = 1.6
    spread: int = 4
    hue_floor: float = 0.03
    largest_hue: float = 0.1

    def parameters(self) -> dict[str, float]:
        """Return the attributes as parameters of a stage."""
        return dataclasses.asdict(self)


FUSION_RENDERING = Rendering()
"""The rendering of two frames or more."""

CORRECTION_RENDERING = Rendering(
    radius=12,
    eps=2e-3,
    least_slope=-0.6,
    largest_slope=1.5,
    least_gain=0.8,
    largest_gain=1.25,
)
"""The rendering of a single frame, whose slopes are those of a tone curve less the identity."""


def rendered(
    small: Raster, frames: Sequence[Raster], chosen: Rendering, color: str = "rgb"
) -> Picture:
    """Do as :func:`rendered_by_windows` does, and compute the whole picture at once."""
    picture = rendered_by_windows(small, frames, chosen, color)
    return np.ascontiguousarray(whole_picture(picture))


def rendered_by_windows(
    small: Raster,
    frames: Sequence[Raster],
    chosen: Rendering,
    color: str = "rgb",
    method: str = "area",
    scaled: Sequence[Raster] | None = None,
    side: int = WINDOW_SIDE,
    workers: int = 1,
) -> Raster:
    """Render full-size frames with the tone and the colour of a network's small result.

    Args:
        small: hxwx3, the network's output, in the network's colours, for frames that were scaled
            to hxw.
        frames: HxWx3 rasters, sRGB-encoded, [0, 1].
        chosen: The parameters.
        color: Colours of the network, ``"rgb"`` or ``"lab"``
            (:func:`edgeexpo.imaging.guided.encode`).
        method: Method by which the frames are scaled when ``scaled`` is missing.
        scaled: Scaled copies of the frames in the network's colours, hxwx3 each. When missing,
            the copies are made here.
        side: Side in pixels of the windows in which the low band of the structure is fused.
        workers: Number of threads.

    Returns:
        HxWx3 raster, float32, sRGB-encoded, clipped to [0, 1].

    Raises:
        BundleError: ``color`` is unknown.
        PictureError: ``method`` is unknown.
    """
    height, width = frames[0].shape[:2]
    size = (small.shape[0], small.shape[1])
    structure = structure_maps(frames, side, workers)
    tone = scratch_array((_map_count(len(frames)), *size))
    with scope():
        if scaled:
            copies = [decode(whole_picture(copy), color) for copy in scaled]
        else:
            copies = [resize(frame, size, method, workers) for frame in frames]
        wanted = _planes(decode(whole_picture(small), color))
        shrunk = _resized(structure, size)
        np.copyto(tone, _tone(wanted, [_planes(c) for c in copies], shrunk, chosen))

    shape = (height, width, 3)
    kernels, coded = kernel_module("rendering"), [f for f in frames if isinstance(f, CodedPicture)]

    def taps(window: Window) -> list[WindowTaps]:
        return [window_taps(window, maps.shape[1:], shape) for maps in (structure, tone)]

    def compute(window: Window, out: np.ndarray) -> None:
        seen = scratch_array((3 * len(frames), *sides(window)))
        parts = np.split(seen, len(frames))
        for frame, part in zip(frames, parts, strict=True):
            write_raster(frame, window, part.transpose(1, 2, 0))
        places = taps(window)
        if kernels is None:
            _apply(enlarged(structure, places[0]), enlarged(tone, places[1]), parts, planes(out))
            return
        maps = structure[None], tone[None], seen, *_spans(places)
        into_planes(planes(out), lambda target: kernels.render(*maps, target))

    if kernels is None or len(coded) < len(frames):
        return Computed(shape, compute, clipped=True)

    def write_bytes(window: Window, out: np.ndarray) -> None:
        rows, top, left = byte_windows(coded, window)
        maps = structure[None], tone[None], rows, top, left, *_spans(taps(window))
        into_bytes(window, out, lambda *target: kernels.render_to_bytes(*maps, *target))

    return ByteWriter(shape, compute, write_bytes)


def _spans(places: Sequence[WindowTaps]) -> tuple[Any, ...]:
    """Return positions and weights along both axes, for each set of maps, as kernels take them."""
    return tuple(
        span
        for ((above, below), down), ((before, _), across) in places
        for span in ((above, below, down), (before, across))
    )


def _planes(picture: Picture) -> Picture:
    """Return contiguous planes, 3xHxW, of an HxWx3 picture."""
    view = planes(picture)
    if view.flags.c_contiguous and view.dtype == np.float32:
        return view
    copy = planar(picture.shape)
    copy_planes(picture, copy)
    return planes(copy)


def _resized(maps: Picture, size: tuple[int, int]) -> Picture:
    if not len(maps):
        return scratch_array((0, *size))
    return planes(resize(maps.transpose(1, 2, 0), size))


def _map_count(frames: int) -> int:
    """Return the number of maps of :func:`_tone`."""
    return frames + (5 if frames > 1 else 2)


def _tone(
    wanted: Picture, frames: Sequence[Picture], structure: Picture, chosen: Rendering
) -> Picture:
    """Find the maps that turn the structure into the network's picture, at its small size.

    Args:
        wanted: The network's picture, 3xhxw, sRGB-encoded, [0, 1].
        frames: The scaled frames, 3xhxw each.
        structure: The maps of the structure at the small size.
        chosen: The parameters.

    Returns:
        A slope for each frame, the level and the gain of colour differences. For two frames or more
        the added colour differences of red, green and blue follow.
    """
    count, size = len(frames), wanted.shape[1:]
    maps = scratch_array((_map_count(count), *size))
    with scope():
        part, base = scratch_array(size), scratch_array(wanted.shape)
        apply_structure(structure, frames, base)
        lumas = scratch_array((count, *size))
        for frame, target in zip(frames, lumas, strict=True):
            np.copyto(target, luma_plane(frame))
        aim, before = luma_plane(wanted), luma_plane(base)
        change = np.subtract(aim, before, out=scratch_array(size))
        bounds = chosen.least_slope, chosen.largest_slope
        np.copyto(maps[: count + 1], fit_bounded(lumas, change, chosen.radius, chosen.eps, bounds))
        ratio = _ratio(maps, lumas, before, scratch_array(size))
        own, asked = scratch_array(wanted.shape), scratch_array(wanted.shape)
        for c in range(3):
            np.subtract(base[c], before, out=own[c])
            own[c] *= ratio
            np.subtract(wanted[c], aim, out=asked[c])
        gain, spread = maps[count + 1], chosen.spread
        strong = [_strength(own, spread), _strength(asked, spread)]
        np.divide(strong[1], strong[0], out=gain)
        np.sqrt(gain, out=gain)
        np.clip(gain, np.float32(chosen.least_gain), np.float32(chosen.largest_gain), out=gain)
        strong[0] *= strong[1]
        agreement = _mean_product(asked, own, spread)
        agreement /= np.sqrt(strong[0], out=strong[0])
        np.clip(agreement, 0, 1, out=agreement)
        gain -= np.float32(1)
        np.multiply(gain, agreement, out=part)
        np.copyto(gain, part, where=gain > 0)
        gain += np.float32(1)
        if count > 1:
            np.copyto(maps[count + 2 :], _hue(own, asked, gain, base, frames, chosen))
    return maps


def _strength(colour: Picture, radius: int) -> Picture:
    """Return the local mean square of colour differences, above :data:`WEAK`, hxw."""
    total = _mean_product(colour, colour, radius)
    total += WEAK
    return total


def _mean_product(a: Picture, b: Picture, radius: int) -> Picture:
    """Average the products of two colour differences, 3xhxw, around every pixel, hxw."""
    total = scratch_array(a.shape[1:])
    with scope():
        part = scratch_array(total.shape)
        np.multiply(a[0], b[0], out=total)
        for c in range(1, 3):
            total += np.multiply(a[c], b[c], out=part)
        np.copyto(total, _spread(total[None], radius)[0])
    return total


def _spread(maps: Picture, radius: int) -> Picture:
    """Average maps twice over windows, which is close to a Gaussian."""
    return box_mean(box_mean(maps, radius), radius)


def _hue(
    own: Picture,
    asked: Picture,
    gain: Picture,
    base: Picture,
    frames: Sequence[Picture],
    chosen: Rendering,
) -> Picture:
    """Return the colour differences that the network adds where no frame shows a hue, 3xhxw."""
    hue = scratch_array(own.shape)
    with scope():
        part, energy = scratch_array(gain.shape), scratch_array(gain.shape)
        for c in range(3):
            np.multiply(gain, own[c], out=part)
            np.subtract(asked[c], part, out=hue[c])
        np.copyto(hue, _spread(hue, max(1, chosen.spread // 2)))
        chroma = scratch_array(base.shape)
        np.subtract(base, luma_plane(base), out=chroma)
        np.copyto(energy, _mean_product(chroma, chroma, chosen.spread))
        share = _unseen(frames)
        share *= energy
        energy += np.float32(chosen.hue_floor**2)
        share /= energy
        length = scratch_array(gain.shape)
        np.square(hue[0], out=length)
        for c in range(1, 3):
            length += np.square(hue[c], out=part)
        np.sqrt(length, out=length)
        np.maximum(length, np.float32(chosen.largest_hue), out=length)
        np.divide(np.float32(chosen.largest_hue), length, out=length)
        share *= length
        hue *= share
    return hue


def _unseen(frames: Sequence[Picture]) -> Picture:
    """Return 1 where every frame that makes the picture is near black or near clipping, hxw.

    It is 0 where the frames show the hue.
    """
    seen = scratch_array(frames[0].shape[1:])
    with scope():
        seen.fill(0)
        lit, most = scratch_array(seen.shape), scratch_array(seen.shape)
        for frame, share in zip(frames, frame_shares(frames, MEASURES), strict=True):
            np.copyto(lit, luma_plane(frame))
            _ramp(lit, *LIT)
            np.max(frame, axis=0, out=most)
            _ramp(most, *CLIPPED)
            lit *= most
            lit *= box_mean(share[None], SEEN_RADIUS)[0]
            seen += lit
        np.copyto(seen, box_mean(seen[None], SEEN_RADIUS)[0])
    np.subtract(np.float32(1), seen, out=seen)
    return seen


LIT = (0.1, 0.3)
"""Lumas at which a pixel is too dark to show its hue, and at which it shows it."""

CLIPPED = (0.95, 0.7)
"""Largest channels at which a pixel is too bright to show its hue, and at which it shows it."""

SEEN_RADIUS = 2
"""Radius in pixels over which it is averaged whether frames show a hue."""


def _ramp(values: Picture, start: float, end: float) -> None:
    """Replace values by 0 at ``start`` and 1 at ``end``, linear between and constant outside."""
    values -= np.float32(start)
    values *= np.float32(1 / (end - start))
    np.clip(values, 0, 1, out=values)


def _ratio(tone: Picture, lumas: Picture, before: Picture, after: Picture) -> Picture:
    """Write the new luma to ``after`` and return the factor of colour differences, HxW.

    Args:
        tone: Slopes of N frames and the level, HxW each.
        lumas: The frames' lumas, NxHxW.
        before: Luma of the structure.
        after: HxW, overwritten.
    """
    ratio = scratch_array(before.shape)
    np.maximum(before, DARKEST, out=ratio)
    np.copyto(after, ratio)
    with scope():
        part = scratch_array(before.shape)
        for slope, luma in zip(tone, lumas, strict=False):
            after += np.multiply(slope, luma, out=part)
    after += tone[len(lumas)]
    np.clip(after, 0, 1, out=after)
    np.divide(after, ratio, out=ratio)
    np.minimum(ratio, BRIGHTER, out=ratio)
    return ratio


def _apply(structure: Picture, tone: Picture, frames: Sequence[Picture], out: Picture) -> None:
    """Write a window of the picture, 3xHxW, from enlarged maps and the frames' planes."""
    with scope():
        base, size = scratch_array(out.shape), out.shape[1:]
        apply_structure(structure, frames, base)
        lumas, after = scratch_array((len(frames), *size)), scratch_array(size)
        for frame, target in zip(frames, lumas, strict=True):
            with scope():
                np.copyto(target, luma_plane(frame))
        before = luma_plane(base)
        ratio = _ratio(tone, lumas, before, after)
        ratio *= tone[len(frames) + 1]
        for channel, (part, target) in enumerate(zip(base, out, strict=True)):
            part -= before
            part *= ratio
            part += after
            if len(tone) > len(frames) + 2:
                part += tone[len(frames) + 2 + channel]
            np.clip(part, 0, 1, out=target)
