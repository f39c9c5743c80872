"""The stages before and after the network: described in the bundle, executed here in numpy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgeexpo.errors import BundleError
from edgeexpo.imaging.arrays import Picture
from edgeexpo.imaging.color import rgb_to_ycbcr, srgb_to_linear, ycbcr_to_rgb
from edgeexpo.imaging.fusion import fused_by_windows
from edgeexpo.imaging.guided import encode, guided_by_windows
from edgeexpo.imaging.interpolation import intermediate_by_windows
from edgeexpo.imaging.raster import WINDOW_SIDE, Computed, Raster, Window, whole_picture
from edgeexpo.imaging.rendering import Rendering, rendered_by_windows
from edgeexpo.imaging.resize import resize
from edgeexpo.spec import ModelSpec, StageSpec

Frames = Sequence[Raster]
"""Pictures in the order of the model's frames, HxWx3 float32 sRGB-encoded RGB in [0,1]."""


class _Shown(NamedTuple):
    """The material of a back stage; the fields are the arguments of :func:`finished`."""

    output: Raster
    frames: Frames
    scaled: Frames | None = None
    """The frames at the output's size, if there are such copies."""
    side: int = WINDOW_SIDE
    workers: int = 1
    roomy: bool = False


class _Seen(NamedTuple):
    """The material of a front stage; the fields are the arguments of :func:`front_rasters`."""

    frames: Frames
    ev: float | None
    workers: int = 1


def front(spec: ModelSpec, frames: Frames, ev: float | None) -> dict[str, np.ndarray]:
    """Do as :func:`front_rasters` does, and compute all inputs at once."""
    return {name: whole_picture(value) for name, value in front_rasters(spec, frames, ev).items()}


def back(spec: ModelSpec, output: Raster, frames: Frames, fuse: bool = True) -> np.ndarray:
    """Do as :func:`finished` does, and compute the whole picture at once."""
    return whole_picture(finished(spec, output, frames, fuse))


def front_rasters(
    spec: ModelSpec, frames: Frames, ev: float | None, workers: int = 1
) -> dict[str, Raster]:
    """Turn frames into the network's inputs, which are computed as they are read.

    The stages, by ``kind``:

    - ``intermediate``: :func:`edgeexpo.imaging.interpolation.intermediate`.
    - ``resize``: the frames at ``height`` x ``width`` by ``method``
      (:func:`edgeexpo.imaging.resize.resize`), in ``color`` (``rgb`` or ``lab``,
      :func:`edgeexpo.imaging.guided.encode`).
    - ``thumbnail``: one unchanged frame, then a copy at ``height`` x ``width`` by ``method``.
    - ``luma``: Y of every frame, by BT.601 at full range on sRGB-encoded values.
    - ``channels``: for each frame an input of as many ``channels``. Three are the frame itself, and
      one is its Y as by ``luma``. Four are a mosaic as a sensor with an RGGB filter would see it,
      linear, packed to half the height and width: red, green beside red, green beside blue, blue.

    Args:
        spec: The model; its ``front`` names the stage. ``None`` passes the frames on unchanged.
        frames: HxWx3 float32, sRGB in [0,1], in the order of ``spec.frames``.
        ev: log2 of the exposure ratio of the last and the first frame; ``None`` when unknown.
        workers: Threads that the stage may use.

    Returns:
        HxWxC float32 by input name, in the order of ``spec.inputs``.

    Raises:
        BundleError: The stage is unknown to this version, its parameters are invalid, or it makes
            another number of inputs than the model takes.
    """
    values: Frames = frames
    if spec.front is not None:
        stage = _known(FRONT, spec.front.kind)
        with _named(spec.front):
            values = stage(_Seen(frames, ev, workers), spec.front.parameters)
    if len(values) != len(spec.inputs):
        raise BundleError(
            f"{spec.name} has {len(spec.inputs)} inputs and its frames make {len(values)}; "
            "export the bundle again"
        )
    return {t.name: value for t, value in zip(spec.inputs, values, strict=True)}


def finished(
    spec: ModelSpec,
    output: Raster,
    frames: Frames,
    fuse: bool = True,
    side: int = WINDOW_SIDE,
    workers: int = 1,
    inputs: Mapping[str, Raster] | None = None,
    roomy: bool = False,
    copies: Frames | None = None,
) -> Raster:
    """Turn the network's output into the picture, which is computed as it is read.

    The stages, by ``kind``:

    - ``exposure-fusion``: :func:`edgeexpo.imaging.fusion.exposure_fusion` of the first frame, the
      output and the last.
    - ``rendered-fusion``: the same fusion of copies that are at most ``longest`` pixels long, which
      is then rendered at full size as by ``render``.
    - ``guided``: :func:`edgeexpo.imaging.guided.guided_upsampling` of the output to the frames'
      size.
    - ``render``: :func:`edgeexpo.imaging.rendering.rendered` of the output and the frames.
    - ``chroma``: the output is Y, chroma is the frames', see :func:`_chroma`; smaller outputs are
      then enlarged as by ``guided``.

    Args:
        spec: The model; its ``back`` names the stage.
        output: HxWxC float32, what the network gave; for a stage of :data:`ENLARGING` of any size.
        frames: HxWx3 float32, sRGB in [0,1], in the order of ``spec.frames``.
        fuse: False hands the network's output over as it is.
        side: Of the windows, in pixels, in which stages that look far compute the picture.
        workers: Threads that they may use.
        inputs: What :func:`front_rasters` gave for the frames, or for copies scaled by ``area``;
            where ``guided`` or ``render`` would scale the frames to the very same, it takes these.
        roomy: True where memory is not limited, so that stages keep what they would compute twice.
        copies: The frames as :func:`front_rasters` got them, scaled by ``area``, for
            ``rendered-fusion``; it scales the frames itself where they are missing.

    Returns:
        HxWx3 float32, sRGB in [0,1], of the frames' size; or the output as it is.

    Raises:
        BundleError: The stage is not one that this version knows.
    """
    if spec.back is None or not fuse:
        return output
    stage = _known(BACK, spec.back.kind)
    scaled = _scaled(spec, output, inputs or {})
    if spec.back.kind == "rendered-fusion":
        scaled = copies
    shown = _Shown(output, frames, scaled, side, workers, roomy)
    with _named(spec.back):
        picture: Raster = stage(shown, spec.back.parameters)
    return picture


def _scaled(spec: ModelSpec, output: Raster, inputs: Mapping[str, Raster]) -> Frames | None:
    """Return the network's inputs if they are the scaled frames that the stage would compute."""
    front, back = spec.front or StageSpec("resize", {}), spec.back or StageSpec("", {})
    if front.kind != "resize" or back.kind not in ("guided", "render"):
        return None
    if _scaling(front.parameters) != _scaling(back.parameters):
        return None
    copies = list(inputs.values())
    same = copies and all(copy.shape[:2] == output.shape[:2] for copy in copies)
    return copies if same else None


def _scaling(parameters: Mapping[str, Any]) -> tuple[str, str]:
    """Return the method and the colour space of a stage that scales frames."""
    return parameters.get("method", "area"), parameters.get("color", "rgb")


def gives_picture(spec: ModelSpec, fuse: bool = True) -> bool:
    """Return true when :func:`finished` gives an sRGB picture.

    False means that it gives Y, Lab or radiance.
    """
    output = spec.outputs[0]
    return (spec.back is not None and fuse) or (output.color, output.transfer) == ("RGB", "srgb")


def _intermediate(seen: _Seen, parameters: Mapping[str, Any]) -> list[Raster]:
    under, over = seen.frames
    return [intermediate_by_windows(under, over, ev=seen.ev, **parameters)]


def _resize(seen: _Seen, parameters: Mapping[str, Any]) -> list[Raster]:
    color = _scaling(parameters)[1]
    return [encode(_small(frame, parameters, seen.workers), color) for frame in seen.frames]


def _thumbnail(seen: _Seen, parameters: Mapping[str, Any]) -> list[Raster]:
    (frame,) = seen.frames
    return [frame, _small(frame, parameters, seen.workers)]


def _small(frame: Raster, parameters: Mapping[str, Any], workers: int) -> Picture:
    method = _scaling(parameters)[0]
    return resize(frame, (parameters["height"], parameters["width"]), method, workers)


def _luma(seen: _Seen, parameters: Mapping[str, Any]) -> list[Raster]:
    return [_luma_of(frame) for frame in seen.frames]


def _luma_of(frame: Raster) -> Raster:
    def compute(window: Window, out: np.ndarray) -> None:
        np.copyto(out, rgb_to_ycbcr(frame[window])[..., :1])

    return Computed((*frame.shape[:2], 1), compute)


def _exposure_fusion(shown: _Shown, parameters: Mapping[str, Any]) -> Raster:
    under, over = shown.frames
    frames = [under, shown.output, over]
    return fused_by_windows(frames, shown.side, shown.workers, shown.roomy, **parameters)


def _guided(shown: _Shown, parameters: Mapping[str, Any]) -> Raster:
    return guided_by_windows(
        whole_picture(shown.output), shown.frames, scaled=shown.scaled, **parameters
    )


def _render(shown: _Shown, parameters: Mapping[str, Any]) -> Raster:
    method, color = _scaling(parameters)
    chosen = {name: p for name, p in parameters.items() if name not in ("method", "color")}
    return rendered_by_windows(
        shown.output,
        shown.frames,
        Rendering(**chosen),
        color,
        method,
        shown.scaled,
        shown.side,
        shown.workers,
    )


def small_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return the height and width of a copy that is at most ``longest`` pixels long."""
    scale = min(1.0, longest / max(height, width))
    small = (max(min(side, _SMALLEST), round(side * scale)) for side in (height, width))
    return next(small), next(small)


def _rendered_fusion(shown: _Shown, parameters: Mapping[str, Any]) -> Raster:
    """Fuse small copies, and render the result; a larger output of the network is scaled first."""
    chosen = {name: p for name, p in parameters.items() if name not in ("longest", "floor")}
    height, width = shown.frames[0].shape[:2]
    size = small_size(height, width, parameters["longest"])
    output = whole_picture(shown.output)
    if max(output.shape[:2]) > max(size):
        output = resize(output, size, workers=shown.workers)
    under, over = shown.scaled or [
        resize(frame, size, workers=shown.workers) for frame in shown.frames
    ]
    small = fused_by_windows([under, output, over], shown.side, floor=parameters["floor"])
    return rendered_by_windows(
        small,
        shown.frames,
        Rendering(**chosen),
        scaled=[under, over],
        side=shown.side,
        workers=shown.workers,
    )


def _chroma(shown: _Shown, _: Mapping[str, Any]) -> Raster:
    """Combine Y with the frames' chroma, weighted by its distance from grey.

    ``C = sum C_k |C_k - 0.5| / sum |C_k - 0.5|`` for Cb and Cr: equation 1 of K. R. Prabhakar, V.
    S. Srikar, R. V. Babu, "DeepFuse", ICCV 2017. A pixel that is grey in every frame stays grey.

    If Y is smaller than the frames, it is combined with scaled frames. The change is then applied
    at full size, as ``guided`` does.
    """
    output, frames = shown.output, shown.frames
    size = (output.shape[0], output.shape[1])
    if size != tuple(frames[0].shape[:2]):
        small = [resize(frame, size) for frame in frames]
        fused = whole_picture(_chroma(_Shown(output, small), {}))
        return guided_by_windows(fused, frames, scaled=small)

    def compute(window: Window, out: np.ndarray) -> None:
        parts = [rgb_to_ycbcr(frame[window])[..., 1:] - 0.5 for frame in frames]
        colors = np.stack(parts)
        weights = np.abs(colors)
        total = weights.sum(0)
        mixed = (colors * weights).sum(0) / np.where(total > 0, total, 1)
        rgb = ycbcr_to_rgb(np.concatenate([output[window], mixed + 0.5], 2))
        np.clip(rgb, 0, 1, out=out)

    return Computed((*size, 3), compute)


def _channels(seen: _Seen, parameters: Mapping[str, Any]) -> list[Raster]:
    made = {1: _luma_of, 3: lambda frame: frame, 4: _mosaic}
    return [made[n](frame) for n, frame in zip(parameters["channels"], seen.frames, strict=True)]


def _mosaic(frame: Raster) -> Raster:
    height, width = frame.shape[0] // 2 * 2, frame.shape[1] // 2 * 2

    def compute(window: Window, out: np.ndarray) -> None:
        rows, columns = (slice(2 * s.start, 2 * s.stop) for s in window)
        linear = srgb_to_linear(frame[rows, columns])
        for index, (top, left, channel) in enumerate(((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2))):
            np.copyto(out[..., index], linear[top::2, left::2, channel])

    return Computed((height // 2, width // 2, 4), compute)


_Front = Callable[[_Seen, Mapping[str, Any]], list[Raster]]
_Back = Callable[[_Shown, Mapping[str, Any]], Raster]

FRONT: Mapping[str, _Front] = {
    "intermediate": _intermediate,
    "resize": _resize,
    "thumbnail": _thumbnail,
    "luma": _luma,
    "channels": _channels,
}
"""Front stages by kind."""

BACK: Mapping[str, _Back] = {
    "exposure-fusion": _exposure_fusion,
    "rendered-fusion": _rendered_fusion,
    "guided": _guided,
    "render": _render,
    "chroma": _chroma,
}
"""Back stages by kind."""


_SMALLEST = 16
"""Shortest side of a small copy in pixels, if the frame is as large."""

ENLARGING = ("guided", "render", "chroma")
"""Back stages that accept an output smaller than the frames."""


@contextlib.contextmanager
def _named(stage: StageSpec) -> Iterator[None]:
    """Report parameters or frames that a stage does not accept as an error of the bundle."""
    try:
        yield
    except (TypeError, KeyError, ValueError) as error:
        raise BundleError(
            f"the stage {stage.kind!r} cannot be used as the bundle says "
            f"({type(error).__name__}: {error}); export the bundle again"
        ) from error


def _known(stages: Mapping[str, Any], kind: str) -> Any:
    if kind not in stages:
        raise BundleError(
            f"the bundle needs the stage {kind!r}; this edgeexpo knows {', '.join(stages)}: "
            "install the version that exported it"
        )
    return stages[kind]
