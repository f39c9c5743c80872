"""What a model is, in words that every stage shares: tensors, sizes, stages, recipes.

Everything here is a frozen value that survives a round trip through JSON
(:func:`to_json`, :func:`from_json`). Nothing here imports more than the standard library.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

PRECISIONS = ("int8", "fp16", "fp32")
"""Precisions in the order in which ``run``, ``bench`` and ``runtime.load`` prefer them.

``int8`` always means weights *and* activations.
"""

KINDS = ("interpolation", "fusion", "correction", "reconstruction", "hdr")
"""What a network does: the exposure between its frames, one picture from several exposures, a
well-exposed picture from one badly exposed, the picture itself (auto-encoder), radiance from one
picture."""


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a network.

    Attributes:
        name: The artefact's own input or output name.
        channels: Size of the channel axis.
        axes: Axis names; networks take and give NCHW.
        dtype: NumPy dtype name.
        value_range: Smallest and largest meaningful value.
        color: ``"RGB"``, ``"Lab"``, ``"Y"``, or ``"none"`` for tensors that are not pictures.
        transfer: ``"srgb"`` (display-encoded) or ``"linear"`` (scene-linear).
        size: Height and width in pixels of a tensor whose size does not follow the picture's (a
            thumbnail); ``None`` when it is the picture's.
    """

    name: str
    channels: int = 3
    axes: str = "NCHW"
    dtype: str = "float32"
    value_range: tuple[float, float] = (0.0, 1.0)
    color: str = "RGB"
    transfer: str = "srgb"
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class SizeRange:
    """Heights and widths that an artefact accepts for the inputs that have the picture's size.

    Attributes:
        largest: Largest (height, width); for ``dynamic`` artefacts an upper bound.
        smallest: Smallest (height, width).
        multiple: Every height and width is a multiple of this.
        enumerated: The only sizes accepted when not empty (Core ML), each (height, width).
    """

    largest: tuple[int, int]
    smallest: tuple[int, int]
    multiple: int = 1
    enumerated: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class StageSpec:
    """A stage in exact arithmetic before or after the network, as data.

    A bundle never carries code.

    Attributes:
        kind: Name of a function in the runtime's own table.
        parameters: What the runtime hands to that function.
    """

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """A network and the stages around it.

    Attributes:
        name: Name as used in file names (``lrl``).
        task: One line, in the field's terms.
        frames: Names of the pictures a caller hands in, darkest first (``under``, ``over``).
        inputs: The network's own inputs, in order.
        outputs: The network's own outputs, in order; exactly one.
        halo: Receptive-field radius in pixels; ``None`` when an output pixel may depend on the
            whole picture (global branch), which rules out tiles.
        multiple: Height and width must be multiples of this.
        longest: Longest side, in pixels, at which the network sees a picture whole: the scale of
            what it learned. The back stage applies the result at full size. ``None``: any.
        residual: Name of the input that reaches the output by an exact identity path, if any.
        front: Stage from frames to network inputs; ``None`` when frames are the inputs.
        back: Stage from network output (and frames) to the picture; ``None`` when the output is it.
        kind: What the network is measured as, one of :data:`KINDS`.
    """

    name: str
    task: str
    frames: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    halo: int | None
    multiple: int = 1
    longest: int | None = None
    residual: str | None = None
    front: StageSpec | None = None
    back: StageSpec | None = None
    kind: str = "fusion"

    @property
    def fixed_inputs(self) -> tuple[str, ...]:
        """Names of the inputs whose size does not follow the picture's."""
        return tuple(t.name for t in self.inputs if t.size is not None)

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """Size at which the network always runs; ``None`` when an input follows the picture's."""
        sizes = [t.size for t in self.inputs]
        return None if None in sizes or not sizes else sizes[0]


@dataclass(frozen=True)
class Gate:
    """A bound on a metric over pictures.

    Attributes:
        metric: A metric's name (``psnr``, ``max_abs``, ``delta_e_p99``...).
        bound: The bound, in the metric's unit, on the magnitude of signed metrics; of ``psnr``
            relative to the noise floor unless ``reference`` is ``"float"``.
        at_least: ``True`` when larger is better.
        statistic: ``"worst"`` over photographs, ``"worst_probe"`` over probes, or ``"total"``:
            over all photographs together.
        reference: ``"float"``; ``"floor"``: the same, with a bound relative to the noise floor; or
            ``"quantized"`` (the same integer program run in torch).
    """

    metric: str
    bound: float
    at_least: bool
    statistic: str = "worst"
    reference: str = "float"

    def holds(self, value: float) -> bool:
        """True when ``value`` respects the bound; NaN never does."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        against = {
            "float": "",
            "floor": " by the noise floor",
            "quantized": " against the quantized program",
        }[self.reference]
        return f"{self.metric}{sign}{self.bound:.4g}{against}"


@dataclass(frozen=True)
class ExportRecipe:
    """An export, resolved: what was asked for with every default filled in.

    Attributes:
        model: Name of the network.
        targets: Targets that were exported.
        precisions: Precisions that were exported.
        size: Largest (height, width) in pixels.
        calibration: What INT8 was calibrated on, or the INT8 weights that were taken.
        calibration_pictures: Names of the calibration pictures.
        gates: Bounds of each precision.
        sparsity: Share of the multiply-accumulates that pruning removed.
        weights: File name of the float weights; ``None`` for weights made in memory.
        keep_float: Operators (nodes of the program) that INT8 leaves in float.
    """

    model: str
    targets: tuple[str, ...]
    precisions: tuple[str, ...]
    size: tuple[int, int]
    calibration: str
    calibration_pictures: tuple[str, ...]
    gates: Mapping[str, tuple[Gate, ...]]
    sparsity: float = 0.0
    weights: str | None = None
    keep_float: tuple[str, ...] = ()


_T = TypeVar("_T")


def to_json(value: Any) -> Any:
    """Turn a tree of dataclasses, mappings and sequences into plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    return value


def from_json(kind: type[_T], value: Any) -> _T:
    """Rebuild a value of ``kind`` from :func:`to_json`'s output.

    Raises:
        TypeError: The JSON lacks a field or has another type than ``kind`` declares.
    """
    return typing.cast(_T, _build(kind, value))


def _build(kind: Any, value: Any) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, Mapping):
            raise TypeError(f"{kind.__name__} expects an object, found {type(value).__name__}")
        hints = typing.get_type_hints(kind)
        known = {f.name for f in dataclasses.fields(kind)}
        return kind(**{k: _build(hints[k], v) for k, v in value.items() if k in known})
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _build(next(a for a in args if a is not type(None)), value)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"expected a list, found {type(value).__name__}")
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else list(args)
        if len(kinds) != len(value):
            raise TypeError(f"expected {len(kinds)} values, found {len(value)}")
        return tuple(_build(k, v) for k, v in zip(kinds, value, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise TypeError(f"expected an object, found {type(value).__name__}")
        return {_build(args[0], k): _build(args[1], v) for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, found {type(value).__name__}")
    return value
