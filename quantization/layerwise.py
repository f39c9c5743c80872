"""Layer-by-layer adaptation of a simulated network, beside the float network.

To adapt one layer to rounding, its input is needed in the float and in the simulated network. In
the simulated network, all earlier layers must already be adapted. One pass over the graph gives
these inputs for all layers: every node is computed for all pictures before the next node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.node import map_arg

from edgeexpo.quantization.simulation import Rounding, roundings

_ATEN = torch.ops.aten
_CHANNEL_AXIS: dict[Any, int] = {
    _ATEN.conv2d.default: 1,
    _ATEN.conv2d.padding: 1,
    _ATEN.conv_transpose2d.input: 1,
    _ATEN.linear.default: -1,
}
"""Channel axis of the output, for every operator with arguments (input, weight, bias, ...)."""

_RELUS = (_ATEN.relu.default, _ATEN.relu_.default)


@dataclass(frozen=True)
class SimulatedLayer:
    """A weighted operator of a simulated network, with its input in both networks.

    Attributes:
        node: The operator in the simulated graph.
        weight: The weight. Changes in place change the network.
        bias: The bias, or ``None``. Changes in place change the network.
        float_weight: The weight of the float network, unchanged.
        float_bias: The bias of the float network, unchanged, or ``None``.
        rounding: The rounding of the weight, or ``None`` if the layer stays in float.
        wanted: Inputs in the float network, one tensor for each picture.
        found: Inputs in the simulated network, one tensor for each picture.
    """

    node: Node
    weight: Tensor
    bias: Tensor | None
    float_weight: Tensor
    float_bias: Tensor | None
    rounding: Rounding | None
    wanted: Sequence[Tensor]
    found: Sequence[Tensor]

    @property
    def rectified(self) -> bool:
        """True if a ReLU is the only reader of the result."""
        users = list(self.node.users)
        return len(users) == 1 and users[0].target in _RELUS

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Apply the operator to ``x`` with the given weight and bias."""
        operator = cast(Callable[..., Tensor], self.node.target)
        return operator(x, weight, bias, *self.node.args[3:], **self.node.kwargs)

    def rounded_weight(self) -> Tensor:
        """Return the present weight, rounded to its codes unless the layer stays in float."""
        return self.weight if self.rounding is None else cast(Tensor, self.rounding(self.weight))

    def channel_means(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return the mean of every output channel over positions and pictures.

        Every picture has the same weight, whatever its size.
        """
        axis = _CHANNEL_AXIS[self.node.target]
        means = [y.movedim(axis, 0).flatten(1).mean(1) for y in outputs]
        return torch.stack(means).mean(0)


def adapt(
    simulated: GraphModule,
    pictures: Sequence[tuple[Tensor, ...]],
    steps: Sequence[Callable[[SimulatedLayer], None]],
) -> None:
    """Apply ``steps`` to every layer of a simulated program, from the input to the output.

    Args:
        simulated: The program (:func:`edgeexpo.quantization.simulation.simulate`). Its parameters
            are changed in place.
        pictures: Inputs of the program, 1xCxHxW each.
        steps: Functions that change the weight or bias of a layer in place. They are called in
            order for each layer.
    """
    with torch.no_grad():
        walk = _Walk(simulated, pictures)
        for layer in walk:
            for step in steps:
                step(layer)


class _Walk:
    """An iterator over the layers. It computes each layer after the caller has changed it."""

    def __init__(self, simulated: GraphModule, pictures: Sequence[tuple[Tensor, ...]]) -> None:
        self._simulated = simulated
        self._pictures = pictures
        self._run = Interpreter(simulated)
        self._float = {n: p.detach().clone() for n, p in simulated.named_parameters()}
        self._rounds = {id(module) for module in roundings(simulated).values()}
        self._values: dict[Node, list[tuple[Any, Any]]] = {}

    def __iter__(self) -> Iterator[SimulatedLayer]:
        nodes = list(self._simulated.graph.nodes)
        last = {source: node for node in nodes for source in node.all_input_nodes}
        inputs = 0
        for node in nodes:
            if node.op == "output":
                return
            if node.op == "placeholder":
                self._values[node] = [(picture[inputs],) * 2 for picture in self._pictures]
                inputs += 1
                continue
            if self._is_constant(node):
                continue  # computed when it is read, because the caller may still change it
            layer = self._layer(node)
            if layer is not None:
                yield layer
            self._values[node] = self._computed(node)
            for source in node.all_input_nodes:
                if last[source] is node:
                    self._values.pop(source, None)

    def _computed(self, node: Node) -> list[tuple[Any, Any]]:
        constants = {
            source: tuple(self._constant(source, exact) for exact in (True, False))
            for source in node.all_input_nodes
            if self._is_constant(source)
        }
        return [
            (self._evaluate(node, index, 0, constants), self._evaluate(node, index, 1, constants))
            for index in range(len(self._pictures))
        ]

    def _evaluate(
        self, node: Node, index: int, side: int, constants: dict[Node, tuple[Any, ...]]
    ) -> Any:
        def value(source: Node) -> Any:
            return (
                constants[source][side]
                if source in constants
                else self._values[source][index][side]
            )

        args, kwargs = map_arg(node.args, value), map_arg(node.kwargs, value)
        if side == 0 and self._is_rounding(node):
            return args[0]
        return getattr(self._run, node.op)(node.target, args, kwargs)

    def _layer(self, node: Node) -> SimulatedLayer | None:
        if node.target not in _CHANNEL_AXIS:
            return None
        source, given = node.args[:2]
        bias = node.args[2] if len(node.args) > 2 else None
        assert isinstance(source, Node)
        assert isinstance(given, Node)
        rounded = self._is_rounding(given)
        parameter = given.args[0] if rounded else given
        if not isinstance(parameter, Node) or parameter.op != "get_attr":
            return None  # the network computes this weight itself
        module = self._simulated.get_submodule(str(given.target)) if rounded else None
        values = self._values[source]
        return SimulatedLayer(
            node=node,
            weight=self._parameter(parameter).data,
            bias=None if bias is None else self._parameter(cast(Node, bias)).data,
            float_weight=self._float[str(parameter.target)],
            float_bias=None if bias is None else self._float[str(cast(Node, bias).target)],
            rounding=cast(Rounding, module) if rounded else None,
            wanted=[exact for exact, _ in values],
            found=[rounded_value for _, rounded_value in values],
        )

    def _constant(self, node: Node, exact: bool) -> Any:
        """Return the value of a parameter: rounded, or with ``exact`` the float network's value."""
        if node.op == "get_attr":
            known = self._float.get(str(node.target)) if exact else None
            return known if known is not None else self._parameter(node)
        x = self._constant(node.all_input_nodes[0], exact)
        return x if exact else self._simulated.get_submodule(str(node.target))(x)

    def _is_constant(self, node: Node) -> bool:
        if node.op == "get_attr":
            return True
        return self._is_rounding(node) and self._is_constant(node.all_input_nodes[0])

    def _is_rounding(self, node: Node) -> bool:
        if node.op != "call_module":
            return False
        return id(self._simulated.get_submodule(str(node.target))) in self._rounds

    def _parameter(self, node: Node) -> Tensor:
        return cast(Tensor, self._run.get_attr(str(node.target), (), {}))
