"""Sensitivity: the loss of picture quality when one layer is quantised, spared or pruned alone.

The roundings of a simulated program (:mod:`.simulation`) are switched for one operator at a time.
The picture is then compared with the float network's picture. Nothing is lowered, so the result
shows the effect of rounding, not that of an engine.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node

from edgeexpo.errors import UsageError
from edgeexpo.program.capture import Program
from edgeexpo.program.exact_tail import is_weighted
from edgeexpo.program.source import node_source
from edgeexpo.pruning.prune import prune_module
from edgeexpo.quantization.simulation import observers

_Inputs = tuple[Tensor, ...]
ScoreFunction = Callable[[int, Tensor], float]
"""A score: (index of the picture, NCHW output) -> PSNR in dB against the float network's output."""


@dataclass(frozen=True)
class QuantizedOperator:
    """A weighted operator that computes on integers.

    Attributes:
        name: Name of its node in the program. Recipes and ``keep_float`` use this name.
        kind: ATen name of the operator, such as ``conv2d``, ``conv_transpose2d`` or ``linear``.
        module: Path of the module that owns its weights, empty if unknown.
        source: ``file:line`` of the user's statement, as in a manifest's sources.
        tensors: Names of the tensors that are rounded when only this operator is quantised: its
            weights, inputs and output.
        own: Names of the tensors that are not rounded when only this operator stays in float. No
            neighbour needs them rounded.
    """

    name: str
    kind: str
    module: str
    source: str | None
    tensors: frozenset[str]
    own: frozenset[str]


@dataclass(frozen=True)
class Quality:
    """Picture quality: PSNR in dB against the float network's pictures.

    Attributes:
        mean: Mean over all pictures.
        worst: PSNR of the worst picture.
    """

    mean: float
    worst: float


@dataclass(frozen=True)
class Sensitivity:
    """The quality that one operator costs.

    Attributes:
        operator: The operator.
        alone: Quality when only this operator is quantised.
        spared: Quality when only this operator stays in float.
    """

    operator: QuantizedOperator
    alone: Quality
    spared: Quality


class _Partly(Interpreter):
    """An interpreter of a simulated program that rounds only some tensors."""

    def __init__(self, simulated: GraphModule, rounded: Collection[str]) -> None:
        super().__init__(simulated)
        self._off = {node for _, node in observers(simulated) if _rounds(node) not in rounded}

    def run_node(self, n: Node) -> Any:
        """Return the node's result. A rounding that is off returns its input unchanged."""
        if n in self._off:
            return self.env[n.all_input_nodes[0]]
        return super().run_node(n)


def quantized_operators(program: Program, simulated: GraphModule) -> list[QuantizedOperator]:
    """Return the weighted operators of a simulated ``program`` that compute on integers.

    Args:
        program: The float program that ``simulated`` was made from.
        simulated: The program (:func:`edgeexpo.quantization.simulation.simulate`).

    Returns:
        The operators in the program's order.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import Q_ANNOTATION_KEY

    places = {node.name: node for node in program.exported.graph_module.graph.nodes}
    written = {n.name for n in simulated.graph.nodes if _output_is_integer(n, Q_ANNOTATION_KEY)}
    read = {
        source.name: [user for user in _users(source) if _reads(user, source, Q_ANNOTATION_KEY)]
        for source in simulated.graph.nodes
    }
    found = []
    for node in simulated.graph.nodes:
        inputs = {_rounds(n) for n in node.all_input_nodes if _is_observer(n)}
        if not is_weighted(node) or not inputs or node.meta.get(Q_ANNOTATION_KEY) is None:
            continue
        output = _output(node)
        own = {t for t in inputs if t not in written and len(read[t]) <= 1}
        if output == node.name and not read[node.name]:
            own.add(node.name)
        found.append(
            QuantizedOperator(
                name=node.name,
                kind=str(node.target).split(".")[1],
                module=_module(program, places.get(node.name)),
                source=node_source(places[node.name]) if node.name in places else None,
                tensors=frozenset(inputs | ({output} if output else set())),
                own=frozenset(own),
            )
        )
    return found


def quantization_costs(
    simulated: GraphModule,
    chosen: Iterable[QuantizedOperator],
    pictures: Sequence[_Inputs],
    judge: ScoreFunction,
) -> list[Sensitivity]:
    """Measure the quality with every operator quantised alone, and with every one spared alone.

    Args:
        simulated: A simulated program (:func:`edgeexpo.quantization.simulation.simulate`).
        chosen: Operators of ``simulated``.
        pictures: Inputs of the program, 1xCxHxW each.
        judge: Score of an output against the float network's output.
    """
    everything = {_rounds(node) for _, node in observers(simulated)}
    return [
        Sensitivity(
            operator,
            alone=quality(_Partly(simulated, operator.tensors).run, pictures, judge),
            spared=quality(_Partly(simulated, everything - operator.own).run, pictures, judge),
        )
        for operator in chosen
    ]


def quality(
    run: Callable[..., Tensor], pictures: Sequence[_Inputs], judge: ScoreFunction
) -> Quality:
    """Return the quality of the outputs of ``run`` against those of the float network.

    Args:
        run: Function from a picture's inputs (1xCxHxW each) to an NCHW output.
        pictures: Inputs of the program, 1xCxHxW each, at least one picture.
        judge: Score of an output against the float network's output.
    """
    with torch.no_grad():
        found = [judge(index, run(*inputs)) for index, inputs in enumerate(pictures)]
    return Quality(sum(found) / len(found), min(found))


def pruned_alone(
    module: nn.Module, examples: _Inputs, layers: Iterable[str], share: float
) -> Mapping[str, nn.Module | str]:
    """Prune every layer alone.

    Args:
        module: The network. It is not changed.
        examples: Its inputs, NCHW each.
        layers: Paths of modules with weights.
        share: Share of the layer's output channels to remove, above 0 and below 1. Coupled channels
            of other layers are removed too.

    Returns:
        Layer -> the network with only this layer pruned, or the reason why it cannot be pruned.

    Raises:
        UsageError: The share is out of range.
        ModuleError: ``forward`` cannot be followed.
    """
    if not 0 < share < 1:
        raise UsageError(f"the ratio is {share:g}; expected a share above 0 and below 1")
    made: dict[str, nn.Module | str] = {}
    for layer in layers:
        try:
            result = prune_module(module, examples, ratio=None, layers={layer: share})
        except UsageError as error:
            if type(error) is not UsageError:  # a subclass: the network cannot be followed
                raise
            made[layer] = str(error)
            continue
        narrower = result.macs_after < result.macs_before
        made[layer] = result.module if narrower else "no step of 8 channels is near that ratio"
    return made


def _is_observer(node: Node) -> bool:
    return node.op == "call_module" and str(node.target).startswith("activation_post_process")


def _rounds(observer: Node) -> str:
    """Return the name of the tensor that an observer's call rounds."""
    return observer.all_input_nodes[0].name


def _users(source: Node) -> list[Node]:
    """Return the readers of a tensor, including those behind its observers."""
    found = []
    for user in source.users:
        found += list(user.users) if _is_observer(user) else [user]
    return found


def _reads(user: Node, source: Node, key: str) -> bool:
    """Return true if the annotation of ``user`` asks for ``source`` as integers."""
    annotation = user.meta.get(key)
    behind = {_rounds(n) if _is_observer(n) else n.name for n in user.all_input_nodes}
    if annotation is None or source.name not in behind:
        return False
    return any(
        spec is not None and node.name == source.name
        for node, spec in annotation.input_qspec_map.items()
    )


def _output_is_integer(node: Node, key: str) -> bool:
    annotation = node.meta.get(key)
    return annotation is not None and annotation.output_qspec is not None


def _output(node: Node) -> str | None:
    """Return the name of the rounded result of an operator, or of the ReLU fused to it.

    An operator whose result is not rounded gives ``None``.
    """
    for _ in range(2):
        if any(_is_observer(user) for user in node.users):
            return node.name
        if len(node.users) != 1 or "relu" not in str(next(iter(node.users)).target):
            return None
        node = next(iter(node.users))
    return None


def _module(program: Program, node: Node | None) -> str:
    """Return the path of the module whose parameter ``node`` multiplies by, or ``""``."""
    named = program.exported.graph_signature.inputs_to_parameters
    for source in node.all_input_nodes if node is not None else ():
        if source.name in named:
            return str(named[source.name]).rpartition(".")[0]
    return ""
