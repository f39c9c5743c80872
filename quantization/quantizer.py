"""The quantiser: XNNPACK's symmetric per-channel scheme, with some operators left in float."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
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
from edgeexpo.program.values import channels_of, is_single, tensor_of, tensors_of
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
"""Largest number of channels of a tensor that counts as a picture."""

_NORMALISATIONS = frozenset(
    (
        torch.ops.aten.batch_norm.default,
        torch.ops.aten._native_batch_norm_legit.default,
        torch.ops.aten._native_batch_norm_legit_no_training.default,
        torch.ops.aten.native_batch_norm.default,
        torch.ops.aten.cudnn_batch_norm.default,
        torch.ops.aten.miopen_batch_norm.default,
    )
)

_SATURATING = frozenset((torch.ops.aten.sigmoid.default, torch.ops.aten.tanh.default))

_CHOICES: Mapping[Any, int] = MappingProxyType(
    {
        torch.ops.aten.argmax.default: 0,
        torch.ops.aten.argmin.default: 0,
        torch.ops.aten.max.dim: 1,
        torch.ops.aten.min.dim: 1,
        torch.ops.aten.max_pool2d_with_indices.default: 1,
        torch.ops.aten.adaptive_max_pool2d.default: 1,
        torch.ops.aten.topk.default: 1,
        torch.ops.aten.sort.default: 1,
    }
)
"""Operator -> which of its results are places, such as the indices of a pooling."""


_ARITHMETIC = frozenset(
    (
        torch.ops.aten.add.Tensor,
        torch.ops.aten.sub.Tensor,
        torch.ops.aten.mul.Tensor,
        torch.ops.aten.div.Tensor,
    )
)

_WITH_WEIGHTS = frozenset(
    (
        torch.ops.aten.conv1d.default,
        torch.ops.aten.conv2d.default,
        torch.ops.aten.conv2d.padding,
        torch.ops.aten.conv_transpose2d.input,
        torch.ops.aten.linear.default,
    )
)
"""Operators that an engine computes in INT8 only with a constant weight."""


class ImageQuantizer(XNNPACKQuantizer):  # type: ignore[misc]
    """A quantiser with INT8 weights per output channel and INT8 activations per tensor.

    The following operators stay in float. Together they need few operations.

    - The exact tail (:func:`edgeexpo.program.exact_tail.exact_tail`).
    - Arithmetic with constants, such as the scale of a SELU or of an input. The activations beside
      it stay in float anyway. INT8 would only round the tensor once more.
    - Means, as in channel attention or strip pooling. XNNPACK's annotation gives a mean the scale
      of its input. The mean of many positive values is far below their maximum, so it would get
      only a few steps.
    - Operators computed once for the whole picture
      (:func:`edgeexpo.program.exact_tail.computed_once`), and the addition of their result. One
      rounding there shifts every pixel. A network that computes nothing else keeps only its
      vectors in float.
    - A convolution whose sigmoid or tanh is a picture, at the end or between two phases of the
      network. One step of a logit between -12 and 2 is 5 % of a dark pixel.
    - The first convolution, if its input is computed from the picture, such as ``2x - 1`` or a mean
      of frames. INT8 represents the 256 codes of a picture exactly, but not the values between them
      together with an exact zero for the padding.
    - An operator whose weight the network computes. No engine has an integer kernel for it.
    - What works on the parts of complex numbers. The mean of a picture is far above its other
      frequencies, so that these would get only a few steps.
    - What is compared to choose a place, as in pooling with indices. Among rounded values, many are
      equal, and another place is chosen.

    The output of the last convolution keeps its own range. In a residual network, this quantises
    the correction, never the picture to which the correction is added.

    Args:
        keep_float: Names of further operators (nodes of the program) that stay in float.
        observer: Name in :data:`edgeexpo.quantization.observers.OBSERVERS`.
        lifted: Names of rules of :func:`left_in_float` to switch off, to measure their effect.
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

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        """Make tensors of the numbers in arithmetic, as XNNPACK does, with the right type."""
        _type_numbers(model)
        transformed: GraphModule = super().transform_for_annotation(model)
        return transformed

    def annotate(self, model: GraphModule) -> GraphModule:
        """Annotate ``model`` as XNNPACK does, then free the operators that stay in float."""
        # The stock quantiser traces its patterns of batch normalisation for every program, which
        # takes seconds (executorch 1.5.1). In a program without any, all they do is drop dead code.
        if not any(node.target in _NORMALISATIONS for node in model.graph.nodes):
            model.graph.eliminate_dead_code()
            model.recompile()
            patterns = XNNPACKQuantizer.SUPPORTED_PATTERNS
            self.SUPPORTED_PATTERNS = [pattern for pattern in patterns if not pattern.is_qat]
        model = super().annotate(model)
        for node in left_in_float(model, self.keep_float, self.lifted):
            node.meta.pop(Q_ANNOTATION_KEY, None)
        _free_other_values(model)
        free_orphans(model)
        for node in tail_border(model, exact_tail(model)):
            annotation = node.meta.get(Q_ANNOTATION_KEY)
            if annotation is not None:
                annotation.output_qspec = self.global_config.output_activation
        return model


def left_in_float(
    model: GraphModule, asked: frozenset[str] = frozenset(), lifted: frozenset[str] = frozenset()
) -> dict[Node, str]:
    """Find the operators that :class:`ImageQuantizer` never quantises.

    Args:
        model: A float program.
        asked: Names of further operators that stay in float.
        lifted: Names of rules to switch off.

    Returns:
        Operator -> name of the first rule that leaves it in float.
    """
    tail = exact_tail(model)
    border = tail_border(model, tail)
    once = _once_in_float(model)
    compared, spectral = _compared(model), _spectral(model)
    inner = any(is_weighted(node) and node not in border for node in model.graph.nodes)
    rules: dict[str, Callable[[Node], bool]] = {
        "asked for": lambda node: node.name in asked,
        "computed once": lambda node: node in once,
        "mean or arithmetic with a constant": _is_finer,
        "reads arithmetic on the picture": _reads_arithmetic,
        "computed weight": _has_computed_weight,
        "chooses places": lambda node: node in compared,
        "works on frequencies": lambda node: node in spectral,
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


def _once_in_float(model: GraphModule) -> set[Node]:
    """Return the operators computed once for the whole picture that stay in float.

    If all weights of the network are among them, as in a classifier that chooses a curve or a
    lookup table, those that work on features larger than one pixel are quantised nevertheless.
    """
    once = computed_once(model)
    if any(is_weighted(node) and node not in once for node in model.graph.nodes):
        return once
    return {node for node in once if is_vector(node)}


def _is_finer(node: Node) -> bool:
    """Return true for means, arithmetic with constants, and the addition of NxCx1x1 features."""
    if is_weighted(node):
        return False
    if node.target == torch.ops.aten.add.Tensor and any(map(is_vector, node.all_input_nodes)):
        return True
    return node.target in _MEANS or any(n.op == "get_attr" for n in node.all_input_nodes)


def _has_computed_weight(node: Node) -> bool:
    """Return true for a convolution or linear layer whose weight is no parameter."""
    if node.target not in _WITH_WEIGHTS:
        return False
    weight = node.args[1]
    return isinstance(weight, Node) and weight.op != "get_attr"


def _compared(model: GraphModule) -> set[Node]:
    """Return what makes the values that are compared to choose a place.

    These are the operators up to and with the last weighted ones before the choice.
    """
    choices = [n for n in model.graph.nodes if n.target in _CHOICES and _is_place_read(n)]
    found: set[Node] = set()
    waiting = list(choices)
    while waiting:
        node = waiting.pop()
        if node in found or node.op != "call_function":
            continue
        found.add(node)
        if not is_weighted(node):
            waiting.extend(node.all_input_nodes)
    return found


def _spectral(model: GraphModule) -> set[Node]:
    """Return what works on the parts of complex numbers that become complex numbers again."""
    numbers = {n for n in model.graph.nodes if any(part.is_complex() for part in tensors_of(n))}
    found: set[Node] = set()
    waiting = [source for node in numbers & _made_of_parts(model) for source in node.args]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Node) or node in found | numbers or node.op != "call_function":
            continue
        found.add(node)
        waiting.extend(node.all_input_nodes)
    return found


def _made_of_parts(model: GraphModule) -> set[Node]:
    makers = (
        torch.ops.aten.complex.default,
        torch.ops.aten.view_as_complex.default,
        torch.ops.aten.polar.default,
    )
    return {node for node in model.graph.nodes if node.target in makers}


def _is_place_read(node: Node) -> bool:
    part = _CHOICES[node.target]
    parts = [user for user in node.users if user.target is operator.getitem]
    return not parts or any(user.args[1] == part and user.users for user in parts)


def _feeds_saturation(node: Node) -> bool:
    """Return true for a convolution that a sigmoid or tanh follows."""
    return is_weighted(node) and any(u.target in _SATURATING for u in node.users)


def _is_picture(node: Node) -> bool:
    number = channels_of(node.meta.get("val"))
    return number is not None and number <= PICTURE_CHANNELS


def _reads_arithmetic(node: Node) -> bool:
    """Return true for a first convolution whose input is computed from the picture.

    Concatenation alone does not count, because it keeps the picture's codes.
    """
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
    """Return true if a converted PT2E program has at least one quantised activation."""
    graph = getattr(module, "graph", None)
    return graph is not None and any("quantize_per_tensor" in str(n.target) for n in graph.nodes)


def _type_numbers(model: GraphModule) -> None:
    """Replace the numbers in arithmetic on integers by integer tensors, in place.

    The stock quantiser makes a float32 tensor of every number (executorch 1.5.1). An index plus one
    would then be no index any more.
    """
    for node in model.graph.nodes:
        value = tensor_of(node)
        if node.target not in _ARITHMETIC or value is None or value.is_floating_point():
            continue
        for position, number in enumerate(node.args[:2]):
            if not isinstance(number, bool | int):
                continue
            name = f"number_{node.name}_{position}"
            model.register_buffer(name, torch.tensor(number, dtype=value.dtype))
            with model.graph.inserting_before(node):
                constant = model.graph.get_attr(name)
            constant.meta["val"] = value.new_empty(())
            node.update_arg(position, constant)
    model.recompile()


def _free_other_values(model: GraphModule) -> None:
    """Leave operators in float that read or make something else than float32 tensors, in place.

    Sizes, indices and masks have no range. XNNPACK quantises float32 alone.
    """
    for node in model.graph.nodes:
        annotation = node.meta.get(Q_ANNOTATION_KEY)
        if annotation is None:
            continue
        made = [] if annotation.output_qspec is None else [node]
        read = [n for n, spec in annotation.input_qspec_map.items() if spec is not None]
        if not all(is_single(n) for n in (*made, *read) if "val" in n.meta):
            del node.meta[Q_ANNOTATION_KEY]


def free_orphans(model: GraphModule) -> None:
    """Leave operators in float that share the scale of an operator left in float, in place.

    A reshape of tokens or a concatenation takes the scale of its input. torchao 0.18 fails with a
    ``KeyError`` if that input has no scale.
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
