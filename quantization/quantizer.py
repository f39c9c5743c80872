"""The quantiser: XNNPACK's symmetric per-channel scheme, with the picture's own path left exact."""

from __future__ import annotations

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import Q_ANNOTATION_KEY
from torch.fx import GraphModule

from edgeexpo.quantization.exact import exact_tail, tail_border


class ImageQuantizer(XNNPACKQuantizer):  # type: ignore[misc]
    """Weights INT8 per output channel, activations INT8 per tensor, the exact tail in float.

    The last convolution's output keeps a range of its own, so that in a residual network the
    correction is quantised and never the picture it is added to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_global(get_symmetric_quantization_config(is_per_channel=True))

    def annotate(self, model: GraphModule) -> GraphModule:
        """Annotate every operator that XNNPACK knows, then free the tail."""
        model = super().annotate(model)
        tail = exact_tail(model)
        for node in tail:
            node.meta.pop(Q_ANNOTATION_KEY, None)
        for node in tail_border(model, tail):
            annotation = node.meta.get(Q_ANNOTATION_KEY)
            if annotation is not None:
                annotation.output_qspec = self.global_config.output_activation
        return model


def is_quantized(module: torch.nn.Module) -> bool:
    """True when a converted PT2E program has at least one quantised activation."""
    graph = getattr(module, "graph", None)
    return graph is not None and any("quantize_per_tensor" in str(n.target) for n in graph.nodes)
