"""Faults that a conversion, an engine or an app can cause, and the gates that have to name them.

They change an artefact's inputs and outputs, so they are the same for every target and engine.
:mod:`edgeexpo.testing.faults.plant` puts some of them into single layers of saved files. Tensors
are NCHW float32 in [0,1], sRGB-encoded; a step is 1/255.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from edgeexpo.imaging.color import linear_to_srgb, rgb_to_ycbcr, srgb_to_linear
from edgeexpo.parity.cases import Case
from edgeexpo.parity.metrics.tones import CODE_STEPS
from edgeexpo.spec import ModelSpec

_Array = np.ndarray
Tensors = Mapping[str, np.ndarray]
"""Network inputs by name, NCHW float32."""

Gates = tuple[str, ...]
"""Names of metrics."""

TONE: Gates = ("contrast_change", "luminance_shift")
"""Metrics of tone: brightness and contrast.

A wrong tone curve changes both; the picture decides which change is larger.
"""

CLOSENESS: Gates = (
    "max_abs",
    "psnr",
    "pu21_psnr",
    "ssim",
    "ms_ssim",
    "delta_e_mean",
    "delta_e_p99",
    "correction_snr",
)
"""Metrics of closeness, which measure any difference, for faults without a sign of their own."""


@dataclass(frozen=True)
class Fault:
    """One fault; exactly one of the callables or ``halo`` describes its effect.

    Attributes:
        name: The fault in words.
        gates: Metrics that are meant to name the fault; the first failed gate has to be one of
            them. ``shape`` stands for a picture of another height or width, which is refused before
            any metric.
        output: Function that changes the artefact's output.
        by_run: Function that changes the output, given the number of runs since loading.
        inputs: Function that changes the artefact's inputs.
        tiled: Function that changes an assembled picture (HxWxC), given the first rows and columns
            of its tiles.
        halo: Halo in pixels that replaces the network's in the plan of tiles.
        reference: Function that changes the reference: a golden record of something else.
        frames: Least number of frames that the network takes.
    """

    name: str
    gates: Gates
    output: Callable[[_Array], _Array] | None = None
    by_run: Callable[[_Array, int], _Array] | None = None
    inputs: Callable[[Tensors], Tensors] | None = None
    tiled: Callable[[_Array, Sequence[int], Sequence[int]], _Array] | None = None
    halo: int | None = None
    reference: Callable[[Case], _Array] | None = None
    frames: int = 1

    @property
    def level(self) -> str:
        """Place of the fault: ``output``, ``input``, ``tiles`` or ``reference``."""
        if self.inputs is not None:
            return "input"
        if self.tiled is not None or self.halo is not None:
            return "tiles"
        return "reference" if self.reference is not None else "output"

    def concerns(self, spec: ModelSpec) -> bool:
        """Return true when a network can have this fault."""
        frames = sum(t.size is None for t in spec.inputs)
        tiles = self.level != "tiles" or spec.halo is not None
        return frames >= self.frames and tiles


def _each(change: Callable[[_Array], _Array]) -> Callable[[Tensors], Tensors]:
    return lambda inputs: {name: change(value) for name, value in inputs.items()}


def _bits(count: int) -> Callable[[_Array], _Array]:
    levels = 2**count - 1
    return lambda y: np.rint(y * levels) / levels


def _one_nan(y: _Array) -> _Array:
    y = y.copy()
    y[0, 0, y.shape[2] // 3, y.shape[3] // 3] = np.nan
    return y


def _half_overflow(y: _Array) -> _Array:
    with np.errstate(over="ignore"):
        return (y * 70000).astype(np.float16).astype(np.float32) / 70000


def _resampled(scale: float, shift: float) -> Callable[[_Array], _Array]:
    """Shrink the grid by ``scale`` pixels about the centre and move it right by ``shift``."""

    def change(y: _Array) -> _Array:
        height, width = y.shape[2:]
        rows, columns = (1 - scale / height, 1 - scale / width) if scale else (1.0, 1.0)
        matrix = torch.tensor([[[columns, 0, -2 * shift / width], [0, rows, 0]]])
        grid = F.affine_grid(matrix.float(), list(y.shape), align_corners=False)
        moved = F.grid_sample(
            torch.from_numpy(np.ascontiguousarray(y)),
            grid,
            padding_mode="border",
            align_corners=False,
        )
        result: _Array = moved.numpy()
        return result

    return change


def _decoded_as_709(y: _Array) -> _Array:
    luma, blue, red = np.moveaxis(rgb_to_ycbcr(y.transpose(0, 2, 3, 1)), -1, 0)
    blue, red = blue - 0.5, red - 0.5
    rgb = (luma + 1.5748 * red, luma - 0.1873 * blue - 0.4681 * red, luma + 1.8556 * blue)
    return np.asarray(np.clip(np.stack(rgb, axis=1), 0, 1), np.float32)


def _limited(y: _Array) -> _Array:
    return np.asarray(y * (219 / CODE_STEPS) + 16 / CODE_STEPS)


def _expanded(y: _Array) -> _Array:
    return np.clip((y - 16 / CODE_STEPS) * (CODE_STEPS / 219), 0, 1)


def _blurred(y: _Array) -> _Array:
    result: _Array = F.avg_pool2d(
        F.pad(torch.from_numpy(np.ascontiguousarray(y)), (1, 1, 1, 1), mode="replicate"), 3, 1
    ).numpy()
    return result


def _shuffled(y: _Array) -> _Array:
    """Put the pixels of 2x2 blocks in column order, as a pixel shuffle with exchanged factors."""
    y = y.copy()
    height, width = (side // 2 * 2 for side in y.shape[2:])
    y[:, :, 0:height:2, 1:width:2], y[:, :, 1:height:2, 0:width:2] = (
        y[:, :, 1:height:2, 0:width:2].copy(),
        y[:, :, 0:height:2, 1:width:2].copy(),
    )
    return y


def _checked(y: _Array) -> _Array:
    sign = 1 - 2 * (np.indices(y.shape[2:]).sum(axis=0) % 2)
    return np.asarray(np.clip(y + sign * 6 / CODE_STEPS, 0, 1), np.float32)


def _hole(y: _Array) -> _Array:
    y = y.copy()
    y[:, :, 8:24, 8:24] = 0
    return y


def _no_border(y: _Array) -> _Array:
    y = y.copy()
    inner = np.zeros(y.shape[2:], bool)
    inner[2:-2, 2:-2] = True
    y[:, :, ~inner] = 0
    return y


def _mirrored_border(inputs: Tensors) -> Tensors:
    def change(x: _Array) -> _Array:
        x = x.copy()
        x[:, :, :2] = x[:, :, 3:1:-1]
        x[:, :, :, :2] = x[:, :, :, 3:1:-1]
        return x

    return {name: change(value) for name, value in inputs.items()}


def _noisy(y: _Array) -> _Array:
    noise = np.random.default_rng(0).standard_normal(y.shape)
    return np.clip(y + noise * 5 / CODE_STEPS, 0, 1).astype(np.float32)


def _swapped_frames(inputs: Tensors) -> Tensors:
    return dict(zip(inputs, reversed(list(inputs.values())), strict=True))


def _tile_off(picture: _Array, rows: Sequence[int], columns: Sequence[int]) -> _Array:
    """Shift every tile but the first of a row by one pixel."""
    if not columns:
        return picture
    picture = picture.copy()
    cut = columns[0]
    picture[:, cut + 1 :] = picture[:, cut:-1].copy()
    return picture


def _alternating(y: _Array, run: int) -> _Array:
    return np.clip(y + run % 2 * 0.02, 0, 1)


def _one_channel(y: _Array) -> _Array:
    return np.clip(y + np.array([0, 0.06, 0], np.float32)[:, None, None], 0, 1)


def _first_input(case: Case) -> _Array:
    """Return the golden record of a network without weights: its first input with a tint."""
    frame = next(iter(case.inputs.values()))
    fits = frame.shape == case.reference.shape
    return np.asarray(np.clip((frame if fits else case.reference) * 0.9 + 0.03, 0, 1), np.float32)


FAULTS: tuple[Fault, ...] = (
    Fault("NaN in one pixel", ("nonfinite",), _one_nan),
    Fault("fp16 overflow in highlights", ("nonfinite",), _half_overflow),
    Fault("mirrored", ("orientation",), lambda y: y[..., ::-1]),
    Fault("upside down", ("orientation",), lambda y: y[..., ::-1, :]),
    Fault("rotated by 180 degrees", ("orientation",), lambda y: y[..., ::-1, ::-1]),
    Fault("transposed", ("orientation", "shape"), lambda y: y.swapaxes(2, 3)),
    Fault("transposed input", ("orientation", "shape"), inputs=_each(lambda x: x.swapaxes(2, 3))),
    Fault("BGR output", ("channel_order",), lambda y: y[:, ::-1]),
    Fault("red and green exchanged", ("channel_order",), lambda y: y[:, [1, 0, 2]]),
    Fault("channels rotated", ("channel_order",), lambda y: y[:, [1, 2, 0]]),
    Fault("BGR input", ("channel_order",), inputs=_each(lambda x: x[:, ::-1])),
    Fault("frames swapped", ("frame_order",), inputs=_swapped_frames, frames=2),
    Fault("shifted by a pixel", ("pixel_shift",), lambda y: np.roll(y, 1, axis=3)),
    Fault("shifted by half a pixel", ("pixel_shift",), _resampled(0, 0.5)),
    Fault("align_corners exchanged", ("pixel_shift",), _resampled(1, 0)),
    Fault("clamp missing", ("overshoot",), lambda y: y + 0.05 * (y > 0.98)),
    Fault("6-bit output", ("banding",), _bits(6)),
    Fault("5-bit output", ("banding",), _bits(5)),
    Fault("tile a pixel off", ("seam", "pixel_shift"), tiled=_tile_off),
    Fault("tiles without halo", ("seam",), halo=0),
    Fault("border not computed", ("border_excess",), _no_border),
    Fault(
        "input mirrored into its border",
        ("border_excess", "seam", *CLOSENESS),
        inputs=_mirrored_border,
    ),
    Fault("brightness changes from run to run", ("flicker", "seam"), by_run=_alternating),
    Fault("BT.601 decoded as BT.709", ("color_cast",), _decoded_as_709),
    Fault(
        "white balance off",
        ("color_cast",),
        lambda y: np.clip(y * np.array([1.05, 1, 0.95], np.float32)[:, None, None], 0, 1),
    ),
    Fault("highlights clipped", ("clipped_change",), lambda y: np.where(y > 0.8, 1, y)),
    Fault("range 16-235", TONE, _limited),
    Fault("16-235 expanded twice", (*TONE, "clipped_change"), _expanded),
    Fault("linear light shown as sRGB", TONE, srgb_to_linear),
    Fault("sRGB encoded twice", TONE, linear_to_srgb),
    Fault("gamma off by 10 %", TONE, lambda y: y**1.1),
    Fault("normalised twice", TONE, inputs=_each(lambda x: (x - 0.5) / 0.5)),
    Fault("divided by 255 twice", TONE, inputs=_each(lambda x: x / CODE_STEPS)),
    Fault("output scale off by 1 %", TONE, lambda y: y * 0.99),
    Fault("output zero point off by one", TONE, lambda y: y - 1 / CODE_STEPS),
    Fault("blurred", CLOSENESS, _blurred),
    Fault("pixel shuffle in the other order", CLOSENESS, _shuffled),
    Fault("checkerboard", CLOSENESS, _checked),
    Fault("noise", CLOSENESS, _noisy),
    Fault("a block black", ("clipped_change", *CLOSENESS), _hole),
    Fault("a constant added to one channel", ("color_cast",), _one_channel),
    Fault("golden record of other weights", (*TONE, *CLOSENESS), reference=_first_input),
)
"""Faults of whole pictures; the faults with the clearest signs come first."""
