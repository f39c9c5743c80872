"""Descriptions of models that all stages share: tensors, sizes, stages, gates and recipes.

Every description is a frozen value that survives a round trip through JSON
(:func:`to_json`, :func:`from_json`). This module imports only the standard library.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, TypeVar

PRECISIONS = ("int8", "a16w8", "fp16", "fp32")
"""Precisions in the order in which ``run``, ``bench`` and ``runtime.load`` prefer them.

``int8`` always means weights *and* activations. ``a16w8`` has the weights of ``int8``, and
activations of 16 bits.
"""

QUANTIZED = ("int8", "a16w8")
"""Precisions whose artefacts are lowered from a quantised program."""

KINDS = ("interpolation", "fusion", "correction", "reconstruction", "hdr")
"""Kinds of networks, by their task.

``interpolation`` gives the exposure between its frames, and ``fusion`` one picture from several
exposures. ``correction`` gives a well-exposed picture from a badly exposed one. ``reconstruction``
gives its input (auto-encoder), and ``hdr`` gives radiance from one picture.
"""


LARGEST_SCALE = 16
"""Largest factor by which a network may enlarge or reduce its picture."""


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a network.

    Attributes:
        name: Name of the input or output in the artefact.
        channels: Size of the channel axis.
        axes: Names of the axes. Networks take and give ``"NCHW"``. A graph that holds its stages
            takes and gives frames, ``"HWC"``.
        dtype: NumPy dtype name.
        value_range: Smallest and largest meaningful value.
        color: ``"RGB"``, ``"Lab"``, ``"Y"``, or ``"none"`` for tensors that are not pictures.
        transfer: ``"srgb"`` (display-encoded) or ``"linear"`` (scene-linear).
        size: Height and width in pixels of a tensor with a fixed size, such as a thumbnail.
            ``None`` for a tensor that follows the picture's size.
        scale: Height and width in units of the picture's. It is 2 for the output of a
            super-resolution network that doubles them.
    """

    name: str
    channels: int = 3
    axes: str = "NCHW"
    dtype: str = "float32"
    value_range: tuple[float, float] = (0.0, 1.0)
    color: str = "RGB"
    transfer: str = "srgb"
    size: tuple[int, int] | None = None
    scale: float = 1.0

    @property
    def is_frame(self) -> bool:
        """True for an interleaved picture, as cameras give it."""
        return self.axes == "HWC"

    def shape(self, size: tuple[int, int]) -> tuple[int, ...]:
        """Return the tensor's shape for a picture of ``size``, or of its own size if it has one."""
        height, width = self.size or size
        return (
            (height, width, self.channels) if self.is_frame else (1, self.channels, height, width)
        )


@dataclass(frozen=True)
class SizeRange:
    """The heights and widths that an artefact accepts for inputs of the picture's size.

    All sizes are in pixels.

    Attributes:
        largest: Largest (height, width). For ``dynamic`` artefacts it is an upper bound.
        smallest: Smallest (height, width).
        multiple: Number of which every height and width is a multiple.
        enumerated: The only accepted sizes (Core ML), each (height, width). Empty if other sizes
            are accepted too.
    """

    largest: tuple[int, int]
    smallest: tuple[int, int]
    multiple: int = 1
    enumerated: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Footprint:
    """The facts about a network that decide which pictures it takes and where they may be cut.

    All lengths are in pixels of the picture.

    Attributes:
        halo: Radius of the receptive field. ``None`` if an output pixel may depend on the whole
            picture. Then the picture cannot be cut into tiles.
        multiple: Number of which every height and width is a multiple.
        extends: True if the network itself takes no other sizes. A picture is then extended to the
            next multiple by reflection. Otherwise the network would give another picture than the
            extended one, so that other sizes are refused.
        grid: Number of which the starts and ends of tiles inside a picture are multiples; itself a
            multiple of ``multiple``. 0 stands for ``multiple``.
        ragged: True if a picture may be cut even if its height or width is no multiple of ``grid``.
        scale: Height and width of the output in units of the picture's.
    """

    halo: int | None
    multiple: int = 1
    extends: bool = True
    grid: int = 0
    ragged: bool = False
    scale: Fraction = Fraction(1)

    @property
    def cell(self) -> int:
        """The grid on which tiles lie."""
        return self.grid or self.multiple

    @property
    def pointwise(self) -> bool:
        """True if every output pixel depends on the input pixel at its place alone."""
        return self.halo == 0 and self.cell == 1 and self.scale == 1


@dataclass(frozen=True)
class StageSpec:
    """A stage in exact arithmetic before or after the network, as data.

    A bundle never carries code.

    Attributes:
        kind: Name of a function in the runtime's table.
        parameters: Arguments that the runtime passes to that function.
    """

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """A network and the stages around it.

    Attributes:
        name: Name in file names, such as ``lrl``.
        task: One line about the task, in the field's terms.
        frames: Names of the pictures that a caller passes, darkest first (``under``, ``over``).
        inputs: Inputs of the network itself, in order.
        outputs: Outputs of the network itself. There is exactly one.
        halo: Radius of the receptive field in pixels. ``None`` if an output pixel may depend on the
            whole picture (global branch). Then the picture cannot be cut into tiles.
        multiple: Number of which height and width must be multiples.
        extends: True if pictures of other sizes are extended, as in :class:`Footprint`.
        grid: Grid of the tiles, as in :class:`Footprint`.
        ragged: True if pictures off that grid can be cut, as in :class:`Footprint`.
        longest: Longest side in pixels at which the network sees a whole picture. It is the scale
            of the training. The back stage applies the result at full size. ``None`` for any side.
        residual: Name of the input that reaches the output by an exact identity path. ``None``
            without such a path.
        front: Stage from frames to network inputs. ``None`` if the frames are the inputs.
        back: Stage from the network's output and the frames to the picture. ``None`` if the output
            is the picture.
        kind: Kind of network for measurements, one of :data:`KINDS`.
    """

    name: str
    task: str
    frames: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    halo: int | None
    multiple: int = 1
    extends: bool = True
    grid: int = 0
    ragged: bool = False
    longest: int | None = None
    residual: str | None = None
    front: StageSpec | None = None
    back: StageSpec | None = None
    kind: str = "fusion"

    @functools.cached_property  # asked for every tile
    def footprint(self) -> Footprint:
        """The facts that decide which pictures the network takes and where they may be cut."""
        scale = Fraction(self.outputs[0].scale).limit_denominator(LARGEST_SCALE)
        return Footprint(self.halo, self.multiple, self.extends, self.grid, self.ragged, scale)

    def frame_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) in pixels of frames whose network inputs have ``size``.

        They are twice as large for mosaics of four channels (:mod:`edgeexpo.runtime.stages`).
        """
        front = self.front or StageSpec("")
        packed = front.kind == "channels" and 4 in front.parameters.get("channels", ())
        return (2 * size[0], 2 * size[1]) if packed else size

    @property
    def takes_frames(self) -> bool:
        """True if the graph holds its stages: its inputs are frames, and its output a picture."""
        return any(tensor.is_frame for tensor in self.inputs)

    @property
    def fixed_inputs(self) -> tuple[str, ...]:
        """Names of the inputs with a fixed size, which does not follow the picture's size."""
        return tuple(t.name for t in self.inputs if t.size is not None)

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) in pixels at which the network always runs.

        ``None`` if an input follows the picture's size.
        """
        sizes = [t.size for t in self.inputs]
        return None if None in sizes or not sizes else sizes[0]


@dataclass(frozen=True)
class Gate:
    """A bound on a metric over pictures.

    Attributes:
        metric: Name of a metric (``psnr``, ``max_abs``, ``delta_e_p99``...).
        bound: The bound in the metric's unit. For signed metrics it bounds the magnitude. For
            ``psnr`` it is relative to the noise floor unless ``reference`` is ``"float"``.
        at_least: True if larger values are better.
        statistic: ``"worst"`` over photographs, ``"worst_probe"`` over probes, or ``"total"`` over
            all photographs together.
        reference: ``"float"``, ``"rounding"``, ``"floor"``, ``"quantized"`` or ``"weights"``.
            ``"rounding"`` is the float reference, with a bound that gives way to what rounding
            explains in a picture.
            ``"floor"`` is the float reference with a bound relative to the noise floor.
            ``"quantized"`` is the same integer program run in torch. ``"weights"`` is the integer
            program with float activations, also run in torch.
    """

    metric: str
    bound: float
    at_least: bool
    statistic: str = "worst"
    reference: str = "float"

    def holds(self, value: float) -> bool:
        """Return true if ``value`` respects the bound. NaN never respects it."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        against = {
            "float": "",
            "rounding": "",
            "floor": " by the noise floor",
            "quantized": " against the quantized program",
            "weights": " against the quantized weights",
        }[self.reference]
        return f"{self.metric}{sign}{self.bound:.4g}{against}"


@dataclass(frozen=True)
class ExportRecipe:
    """The recipe of an export: the request with every default filled in.

    Attributes:
        model: Name of the network.
        targets: Targets that were asked for.
        precisions: Precisions that were asked for.
        size: Largest (height, width) in pixels.
        calibration: Pictures on which INT8 was calibrated, or the INT8 weights that were used.
        calibration_pictures: Names of the calibration pictures.
        gates: Bounds of each precision.
        sparsity: Share of the multiply-accumulates that pruning removed.
        weights: File name of the float weights. ``None`` for weights made in memory.
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
        TypeError: A field is missing, or a value has another type than ``kind`` declares.
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
