"""The quantiser: XNNPACK's symmetric per-channel scheme, with the picture's own path left exact."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import Q_ANNOTATION_KEY
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import SharedQuantizationSpec

from edgeexpo.program.exact_tail import (
    computed_once,
    exact_tail,
    is_vector,
    is_weighted,
    tail_border,
)
from edgeexpo.quantization.observers import DEFAULT, OBSERVERS

_MEANS = frozenset(
    (
        torch.ops.aten.mean.dim,
        torch.ops.aten.mean.default,
        torch.ops.aten.avg_pool2d.default,
        torch.ops.aten.adaptive_avg_pool2d.default,
    )
)

_ARRANGING = frozenset((torch.ops.aten.cat.default,))
PICTURE_CHANNELS = 3
_SATURATING = frozenset((torch.ops.aten.sigmoid.default, torch.ops.aten.tanh.default))


class ImageQuantizer(XNNPACKQuantizer):  # type: ignore[misc]
    """Weights INT8 per output channel, activations INT8 per tensor, the exact tail in float.

    Arithmetic with constants (the scale of a SELU, the range of an input) stays in float as the
    activations beside it do: in INT8 it would round a tensor once more for nothing. So do means
    (channel attention, strip pooling), which XNNPACK's own annotation gives the scale of what they
    average: the mean of many positive values is far below their maximum and got a few steps. What
    is computed once for the whole picture (:func:`edgeexpo.program.exact_tail.computed_once`) stays
    in float, its addition to a picture too, because one rounding there shifts every pixel; and so
    does a convolution whose sigmoid or tanh is a picture, at the end or between two phases: one
    step of a logit between -12 and 2 is 5 % of a dark pixel. A first one that reads ``2x - 1`` or a
    mean of frames does because 8 bits hold the codes of a picture but not, with an exact zero for
    the padding, those between them. None of these costs many operations.

    The last convolution's output keeps a range of its own, so that in a residual network the
    correction is quantised and never the picture it is added to.

    Args:
        keep_float: Names of further operators (nodes of the program) that stay in float.
        observer: Name in :data:`edgeexpo.quantization.observers.OBSERVERS`.
        lifted: Rules of :func:`left_in_float` that do not hold, to measure what each is worth.
    """

    def __init__(
        self,
        keep_float: frozenset[str] = frozenset(),
        observer: str = DEFAULT,
        lifted: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.keep_float = keep_float
        self.lifted = lifted
        stock = get_symmetric_quantization_config(is_per_channel=True)
        spec = dataclasses.replace(
            stock.input_activation, observer_or_fake_quant_ctr=OBSERVERS[observer]
        )
        self.set_global(dataclasses.replace(stock, input_activation=spec, output_activation=spec))

    def annotate(self, model: GraphModule) -> GraphModule:
        """Annotate what XNNPACK knows, then free what the class leaves in float."""
        model = super().annotate(model)
        for node in left_in_float(model, self.keep_float, self.lifted):
            node.meta.pop(Q_ANNOTATION_KEY, None)
        free_orphans(model)
        for node in tail_border(model, exact_tail(model)):
            annotation = node.meta.get(Q_ANNOTATION_KEY)
            if annotation is not None:
                annotation.output_qspec = self.global_config.output_activation
        return model


def left_in_float(
    model: GraphModule, asked: frozenset[str] = frozenset(), lifted: frozenset[str] = frozenset()
) -> dict[Node, str]:
    """Operators that :class:`ImageQuantizer` never quantises, each with the rule that says so.

    Args:
        model: A float program.
        asked: Names of operators that shall stay in float besides.
        lifted: Rules that do not hold.
    """
    tail = exact_tail(model)
    border = tail_border(model, tail)
    once = computed_once(model)
    inner = any(is_weighted(node) and node not in border for node in model.graph.nodes)
    rules: dict[str, Callable[[Node], bool]] = {
        "asked for": lambda node: node.name in asked,
        "computed once": lambda node: node in once,
        "mean or arithmetic with a constant": _is_finer,
        "reads arithmetic on the picture": _reads_arithmetic,
        "exact tail": lambda node: node in tail,
        "logits of a picture": lambda node: (
            inner and _feeds_saturation(node) and (node in border or _is_picture(node))
        ),
    }
    found = {}
    for node in model.graph.nodes:
        if node.op == "call_function":
            standing = (name for name in rules if name not in lifted and rules[name](node))
            rule = next(standing, None)
            if rule is not None:
                found[node] = rule
    return found


def _is_finer(node: Node) -> bool:
    """True for means and arithmetic with constants or with what is computed once."""
    if is_weighted(node):
        return False
    if node.target == torch.ops.aten.add.Tensor and any(map(is_vector, node.all_input_nodes)):
        return True
    return node.target in _MEANS or any(n.op == "get_attr" for n in node.all_input_nodes)


def _feeds_saturation(node: Node) -> bool:
    """True for a convolution that a sigmoid or tanh follows."""
    return is_weighted(node) and any(u.target in _SATURATING for u in node.users)


def _is_picture(node: Node) -> bool:
    return int(node.meta["val"].shape[1]) <= PICTURE_CHANNELS


def _reads_arithmetic(node: Node) -> bool:
    """True for a first convolution that reads a number's multiple or sum of the picture."""
    if not is_weighted(node):
        return False
    arithmetic, waiting = False, [node.args[0]]
    while waiting:
        source = waiting.pop()
        if not isinstance(source, Node) or source.op != "call_function":
            continue
        if is_weighted(source):
            return False
        arithmetic |= source.target not in _ARRANGING
        waiting.extend(source.all_input_nodes)
    return arithmetic


def is_quantized(module: torch.nn.Module) -> bool:
    """True when a converted PT2E program has at least one quantised activation."""
    graph = getattr(module, "graph", None)
    return graph is not None and any("quantize_per_tensor" in str(n.target) for n in graph.nodes)


def free_orphans(model: GraphModule) -> None:
    """Leave in float what shares the scale of an operator that is left in float itself.

    A reshape of tokens or a concatenation takes the scale of its input; torchao 0.18 fails with a
    ``KeyError`` when that input has none.
    """
    for node in model.graph.nodes:
        annotation = node.meta.get(Q_ANNOTATION_KEY)
        if annotation is None:
            continue
        specs = (annotation.output_qspec, *annotation.input_qspec_map.values())
        if any(isinstance(s, SharedQuantizationSpec) and not _has_scale(s) for s in specs):
            del node.meta[Q_ANNOTATION_KEY]


def _has_scale(shared: SharedQuantizationSpec) -> bool:
    place: Any = shared.edge_or_node
    node: Node = place if isinstance(place, Node) else place[1]
    annotation = node.meta.get(Q_ANNOTATION_KEY)
    if annotation is None:
        return False
    if isinstance(place, Node):
        return annotation.output_qspec is not None
    return place[0] in annotation.input_qspec_map
