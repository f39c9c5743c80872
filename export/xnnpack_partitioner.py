"""What XNNPACK is given of a program: the stock choice, and ELUs."""

from __future__ import annotations

from executorch.backends.xnnpack.partition.config import ALL_PARTITIONER_CONFIGS
from executorch.backends.xnnpack.partition.config.generic_node_configs import EluConfig
from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from torch.export import ExportedProgram
from torch.fx import Node

_ALPHA, _SCALE = 1, 2


class PlainElu(EluConfig):  # type: ignore[misc]
    """ELUs without scales: executorch 1.5.1 knows how to lower them but hands none to XNNPACK.

    Its lowering drops the scale of a SELU without a word and needs an alpha that is written out;
    what has the one or lacks the other stays a portable kernel, slow and right.
    """

    def supported_precision_types(self) -> list[ConfigPrecisionType]:
        """Float alone: between codes an ELU is nearer to the other targets in float."""
        return [ConfigPrecisionType.FP32]

    def check_constraints(self, node: Node, ep: ExportedProgram) -> bool:
        """True for ``alpha * (exp(x) - 1)`` below zero and ``x`` above."""
        scaled = any(scale != 1 for scale in node.args[_SCALE:]) or bool(node.kwargs)
        return self.check_common_constraints(node, ep) and len(node.args) > _ALPHA and not scaled


def partitioner() -> XnnpackPartitioner:
    """The partitioner of every ``.pte``."""
    return XnnpackPartitioner(configs=[*ALL_PARTITIONER_CONFIGS, PlainElu])
