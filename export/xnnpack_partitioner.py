"""The partitioner that chooses the operators for XNNPACK: the stock choice, and plain ELUs."""

from __future__ import annotations

from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
from executorch.backends.xnnpack.partition.config.generic_node_configs import EluConfig
from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from torch.export import ExportedProgram
from torch.fx import Node

_ALPHA, _SCALE = 1, 2


class PlainElu(EluConfig):  # type: ignore[misc]
    """Configuration that gives XNNPACK the ELUs without a scale.

    executorch 1.5.1 can lower ELUs, but its stock configurations give none to XNNPACK. Its lowering
    silently drops the scale of a SELU, and it needs an explicit alpha. An ELU with a scale or
    without an explicit alpha therefore stays in a portable kernel, which is slow and correct.
    """

    def supported_precision_types(self) -> list[ConfigPrecisionType]:
        """Return float32 only.

        Between quantised tensors, an ELU in float is nearer to the other targets.
        """
        return [ConfigPrecisionType.FP32]

    def check_constraints(self, node: Node, ep: ExportedProgram) -> bool:
        """Return true for ELUs that give ``alpha * (exp(x) - 1)`` below zero and ``x`` above."""
        scaled = any(scale != 1 for scale in node.args[_SCALE:]) or bool(node.kwargs)
        return self.check_common_constraints(node, ep) and len(node.args) > _ALPHA and not scaled


def partitioner() -> XnnpackPartitioner:
    """Return the partitioner for every ``.pte``."""
    return XnnpackPartitioner(configs=[*ALL_PARTITIONER_CONFIGS, PlainElu])
