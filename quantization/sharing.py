"""Operators that take the scale of another one, and what becomes of them without it."""

from __future__ import annotations

from typing import Any

from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import Q_ANNOTATION_KEY
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantizer import SharedQuantizationSpec


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
