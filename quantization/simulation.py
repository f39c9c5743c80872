"""A quantised program before its rounding is made permanent: it can be trained, and switched off.

``prepare_pt2e`` puts an observer behind every tensor that will be integer. Once calibrated, each is
replaced by a :class:`Rounding` to the very codes that ``convert_pt2e`` would give, with a straight-
through gradient (Y. Bengio et al., arXiv:1308.3432). Training under it is quantisation-aware
training; switching single ones on or off tells what each costs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from edgeexpo.errors import WeightsError
from edgeexpo.program.capture import Program
from edgeexpo.quantization.observers import DEFAULT
from edgeexpo.quantization.quantizer import ImageQuantizer


@dataclass(frozen=True)
class Range:
    """Codes of an activation: ``value = scale * (code - zero_point)``, codes -128 to 127."""

    scale: float
    zero_point: int


class Rounding(nn.Module):
    """One tensor's way through its INT8 codes and back, with a straight-through gradient.

    Weights take their scales, one for each output channel, from their present values.

    Attributes:
        enabled: Off, the tensor passes as it is.
    """

    def __init__(self, observer: Any) -> None:
        super().__init__()
        self.enabled = True
        self._held = (observer,)  # not a submodule: its buffers are no part of what is trained
        self.is_weight = hasattr(observer, "ch_axis")
        self._fixed: Range | None = None
        if not self.is_weight:
            scale, zero_point = observer.calculate_qparams()
            self._fixed = Range(float(scale), int(zero_point))

    @property
    def observer(self) -> Any:
        """What ``convert_pt2e`` will ask for the codes."""
        return self._held[0]

    @property
    def range(self) -> Range:
        """The codes of an activation."""
        assert self._fixed is not None, "weights take their range from their values"
        return self._fixed

    @range.setter
    def range(self, chosen: Range) -> None:
        assert self._fixed is not None, "weights take their range from their values"
        self._fixed = chosen

    def forward(self, x: Tensor) -> Tensor:
        """``x`` rounded, of the same shape."""
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
    """Scale and zero point of every output channel, as ``convert_pt2e`` will compute them."""
    observer.to(weight.device).reset_min_max_vals()
    observer(weight.detach())
    scale, zero_point = observer.calculate_qparams()
    return scale, zero_point.to(torch.int32)


def prepare_simulation(
    program: Program, keep_float: frozenset[str] = frozenset(), observer: str = DEFAULT
) -> GraphModule:
    """``program`` with an observer behind every tensor that will be integer, not yet calibrated.

    Args:
        program: The float program.
        keep_float: Names of operators (nodes of its graph) that shall stay in float.
        observer: Name in :data:`edgeexpo.quantization.observers.OBSERVERS`.
    """
    from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

    quantizer = ImageQuantizer(keep_float, observer)
    return cast(GraphModule, prepare_pt2e(program.exported.module(), quantizer))


def observers(prepared: GraphModule) -> Iterator[tuple[str, Node]]:
    """(name of the tensor, call of its observer); a tensor seen twice has a number behind it."""
    seen: dict[str, int] = {}
    for node in prepared.graph.nodes:
        if node.op == "call_module" and str(node.target).startswith("activation_post_process"):
            source = cast(Node, node.args[0]).name
            seen[source] = seen.get(source, 0) + 1
            yield (source if seen[source] == 1 else f"{source}:{seen[source]}"), node


def simulate(prepared: GraphModule) -> None:
    """Put roundings in place of the observers of a calibrated ``prepared``."""
    made: dict[int, Rounding] = {}
    for _, node in observers(prepared):
        observer = prepared.get_submodule(str(node.target))
        setattr(prepared, str(node.target), made.setdefault(id(observer), Rounding(observer)))


def roundings(simulated: GraphModule) -> dict[str, Rounding]:
    """The roundings of a simulated graph by the name of their tensor."""
    found = {name: simulated.get_submodule(str(node.target)) for name, node in observers(simulated)}
    return {name: module for name, module in found.items() if isinstance(module, Rounding)}


def fix_ranges(prepared: GraphModule, ranges: Mapping[str, Range]) -> None:
    """Give the activations of ``prepared`` these ranges instead of calibrating it.

    Raises:
        WeightsError: A tensor has no range, or a range no tensor.
    """
    from torchao.quantization.pt2e.observer import FixedQParamsObserver

    calls = {
        name: node
        for name, node in observers(prepared)
        if not hasattr(prepared.get_submodule(str(node.target)), "ch_axis")
    }
    if different := sorted(calls.keys() ^ ranges.keys()):
        raise WeightsError(
            f"the INT8 weights are of another program: {len(different)} tensors differ, "
            f"{different[0]} first; train them again with this version"
        )
    made: dict[tuple[int, Range], FixedQParamsObserver] = {}  # what was shared stays shared
    for name, node in calls.items():
        old: Any = prepared.get_submodule(str(node.target))
        given = ranges[name]
        fixed = FixedQParamsObserver(
            given.scale, given.zero_point, old.dtype, old.qscheme, old.quant_min, old.quant_max
        )
        setattr(prepared, str(node.target), made.setdefault((id(old), given), fixed))


class PerPicture(nn.Module):
    """A captured program of batch size 1, applied to every picture of a batch in turn."""

    graph: GraphModule

    def __init__(self, graph: GraphModule) -> None:
        super().__init__()
        self.graph = graph

    def train(self, mode: bool = True) -> PerPicture:
        """Only noted: an exported graph has one behaviour."""
        self.training = mode
        return self

    def forward(self, *inputs: Tensor) -> Tensor:
        """NxCxHxW inputs to one NxCxHxW output."""
        pictures = zip(*(torch.split(tensor, 1) for tensor in inputs), strict=True)
        return torch.cat([self.graph(*picture) for picture in pictures])


def ranges_to_json(simulated: GraphModule) -> str:
    """The ranges of all activations, for a checkpoint's metadata."""
    activations = {n: r for n, r in roundings(simulated).items() if not r.is_weight}
    kept = {name: [r.range.scale, r.range.zero_point] for name, r in activations.items()}
    return json.dumps(kept, sort_keys=True)


def ranges_from_json(text: str) -> dict[str, Range]:
    """Inverse of :func:`ranges_to_json`."""
    return {name: Range(scale, zero) for name, (scale, zero) in json.loads(text).items()}
