"""Fake quantisation: a simulated program rounds its tensors, but computes in float.

``prepare_pt2e`` puts an observer behind every tensor that will be integer. After calibration, each
observer is replaced by a :class:`Rounding`. It rounds to exactly the codes that ``convert_pt2e``
would give, with a straight-through gradient (Y. Bengio et al., arXiv:1308.3432).

Training a simulated program is quantisation-aware training (QAT). Switching a single rounding on or
off shows what it costs.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from edgeexpo.errors import WeightsError
from edgeexpo.program.capture import Program
from edgeexpo.quantization.observers import DEFAULT
from edgeexpo.quantization.quantizer import ImageQuantizer

_NUMBERED = re.compile(r"(.*?)(?:_(\d+))?")
"""Name of a tensor: its operator and number."""


@dataclass(frozen=True)
class Range:
    """The range of an activation: ``value = scale * (code - zero_point)``, with INT8 codes.

    Attributes:
        scale: Difference between the values of two neighbouring codes.
        zero_point: Code of the value 0, from -128 to 127.
    """

    scale: float
    zero_point: int


class Rounding(nn.Module):
    """Fake quantisation of one tensor to INT8 codes, with a straight-through gradient.

    An activation has one fixed range. A weight has one scale for each output channel, computed from
    its present values at every call.

    Attributes:
        enabled: False leaves the tensor unchanged.
        is_weight: True for the rounding of a weight.
    """

    def __init__(self, observer: Any) -> None:
        super().__init__()
        self.enabled = True
        self._held = (observer,)  # a tuple, so that its buffers are not part of the state
        self.is_weight = hasattr(observer, "ch_axis")
        self._fixed: Range | None = None
        if not self.is_weight:
            scale, zero_point = observer.calculate_qparams()
            self._fixed = Range(float(scale), int(zero_point))

    @property
    def observer(self) -> Any:
        """The observer that ``convert_pt2e`` will ask for scale and zero point."""
        return self._held[0]

    @property
    def range(self) -> Range:
        """The range of an activation. Weights have no fixed range."""
        assert self._fixed is not None, "weights take their range from their values"
        return self._fixed

    @range.setter
    def range(self, chosen: Range) -> None:
        assert self._fixed is not None, "weights take their range from their values"
        self._fixed = chosen

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` rounded to its codes, as float values of the same shape."""
        if not self.enabled:
            return x
        low, high = self.observer.quant_min, self.observer.quant_max
        if self._fixed is not None:
            return torch.fake_quantize_per_tensor_affine(
                x, self._fixed.scale, self._fixed.zero_point, low, high
            )
        scale, zero_point = weight_codes(self.observer, x)
        axis = self.observer.ch_axis
        return torch.fake_quantize_per_channel_affine(x, scale, zero_point, axis, low, high)


def weight_codes(observer: Any, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Compute scale and zero point of every output channel, as ``convert_pt2e`` will.

    The observer's previous values are discarded.

    Returns:
        Two vectors with one entry for each output channel: scales, and int32 zero points.
    """
    observer.to(weight.device).reset_min_max_vals()
    observer(weight.detach())
    scale, zero_point = observer.calculate_qparams()
    return scale, zero_point.to(torch.int32)


def prepare_simulation(
    program: Program, keep_float: frozenset[str] = frozenset(), observer: str = DEFAULT
) -> GraphModule:
    """Return ``program`` with an observer behind every tensor that will be integer.

    The observers are not yet calibrated.

    Args:
        program: The float program. The result shares its parameters.
        keep_float: Names of operators (nodes of the program) that stay in float.
        observer: Name in :data:`edgeexpo.quantization.observers.OBSERVERS`.
    """
    from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

    quantizer = ImageQuantizer(keep_float, observer)
    return cast(GraphModule, prepare_pt2e(program.exported.module(), quantizer))


def observers(prepared: GraphModule) -> Iterator[tuple[str, Node]]:
    """Yield (name of the tensor, node that calls its observer) for every observer.

    A tensor with several observers occurs as ``name``, ``name:2``, ``name:3`` and so on.
    """
    seen: dict[str, int] = {}
    for node in prepared.graph.nodes:
        if node.op == "call_module" and str(node.target).startswith("activation_post_process"):
            source = cast(Node, node.args[0]).name
            seen[source] = seen.get(source, 0) + 1
            yield (source if seen[source] == 1 else f"{source}:{seen[source]}"), node


def simulate(prepared: GraphModule) -> None:
    """Replace the observers of a calibrated graph by roundings, in place.

    Tensors that share an observer share a rounding.
    """
    made: dict[int, Rounding] = {}
    for _, node in observers(prepared):
        observer = prepared.get_submodule(str(node.target))
        setattr(prepared, str(node.target), made.setdefault(id(observer), Rounding(observer)))


def roundings(simulated: GraphModule) -> dict[str, Rounding]:
    """Return tensor name -> rounding for a simulated graph (names as in :func:`observers`)."""
    found = {name: simulated.get_submodule(str(node.target)) for name, node in observers(simulated)}
    return {name: module for name, module in found.items() if isinstance(module, Rounding)}


def _as_named_here(ranges: Mapping[str, Range], names: Sequence[str]) -> dict[str, Range]:
    """Return ranges by the names that the same tensors have in another trace of a network.

    Names count operators, as ``add_4`` does. A trace at another size has other arithmetic of sizes,
    which shifts the numbers and keeps the order. Where the numbers of tensors of one operator
    differ, nothing is renamed.
    """
    theirs, ours = _by_operator(ranges), _by_operator(names)
    if {k: len(v) for k, v in theirs.items()} != {k: len(v) for k, v in ours.items()}:
        return dict(ranges)
    return {
        here: ranges[there]
        for operator, found in theirs.items()
        for there, here in zip(found, ours[operator], strict=True)
    }


def _by_operator(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of each operator's tensors, in the order of their numbers."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        match = _NUMBERED.fullmatch(name)
        assert match is not None  # it matches every name
        found.setdefault(match[1], []).append((int(match[2] or 0), name))
    return {operator: [name for _, name in sorted(named)] for operator, named in found.items()}


def fix_ranges(prepared: GraphModule, ranges: Mapping[str, Range]) -> None:
    """Give the activations of ``prepared`` fixed ranges instead of calibrating it, in place.

    Args:
        prepared: A graph with observers (:func:`prepare_simulation`).
        ranges: Tensor name -> range, for every observed activation (names as in
            :func:`observers`).

    Raises:
        WeightsError: A tensor has no range, or a range has no tensor.
    """
    from torchao.quantization.pt2e.observer import FixedQParamsObserver

    calls = {
        name: node
        for name, node in observers(prepared)
        if not hasattr(prepared.get_submodule(str(node.target)), "ch_axis")
    }
    ranges = _as_named_here(ranges, list(calls))
    if different := sorted(calls.keys() ^ ranges.keys()):
        raise WeightsError(
            f"the INT8 weights are of another program: {len(different)} tensors differ, "
            f"{different[0]} first; make them again with this version and these inputs"
        )
    made: dict[tuple[int, Range], FixedQParamsObserver] = {}  # shared observers stay shared
    for name, node in calls.items():
        old: Any = prepared.get_submodule(str(node.target))
        given = ranges[name]
        fixed = FixedQParamsObserver(
            given.scale, given.zero_point, old.dtype, old.qscheme, old.quant_min, old.quant_max
        )
        setattr(prepared, str(node.target), made.setdefault((id(old), given), fixed))


class PerPicture(nn.Module):
    """A module that applies a captured program of batch size 1 to every picture of a batch."""

    graph: GraphModule

    def __init__(self, graph: GraphModule) -> None:
        super().__init__()
        self.graph = graph

    def train(self, mode: bool = True) -> PerPicture:
        """Note the mode. It has no effect, because an exported graph has only one behaviour."""
        self.training = mode
        return self

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute one NxCxHxW output from NxCxHxW inputs."""
        pictures = zip(*(torch.split(tensor, 1) for tensor in inputs), strict=True)
        return torch.cat([self.graph(*picture) for picture in pictures])


def ranges_to_json(simulated: GraphModule) -> str:
    """Return the ranges of all activations as JSON, for the metadata of a checkpoint."""
    activations = {n: r for n, r in roundings(simulated).items() if not r.is_weight}
    kept = {name: [r.range.scale, r.range.zero_point] for name, r in activations.items()}
    return json.dumps(kept, sort_keys=True)


def ranges_from_json(text: str) -> dict[str, Range]:
    """Return tensor name -> range from the JSON of :func:`ranges_to_json`.

    Raises:
        ValueError: The text is something else, or a range has no scale above 0 or no INT8 code.
        TypeError: The text is something else.
        AttributeError: The text is something else.
    """
    found = {name: Range(scale, zero) for name, (scale, zero) in json.loads(text).items()}
    for name, kept in found.items():
        if not (0 < kept.scale < math.inf and kept.zero_point in range(-128, 128)):
            raise ValueError(f"{name} has the range {kept}")
    return found
