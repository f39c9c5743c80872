"""Lowering of PT2E's quantise and dequantise operators to those of Core AI."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.fx import Node

_CODES = {torch.int8: np.int8, torch.uint8: np.uint8, torch.int32: np.int32}
"""Types of codes that Core AI takes, by torch's type."""


def register_codes(converter: Any, exported: ExportedProgram) -> None:
    """Teach a converter the operators of a quantised program.

    Scales and zero points become constants of the file.

    Args:
        converter: A ``coreai_torch.TorchConverter``.
        exported: The program that it will convert.
    """

    def quantize(values: Any, node: Node, location: Any) -> Any:
        return _on_tensor(values, node, location, quantises=True)

    def dequantize(values: Any, node: Node, location: Any) -> Any:
        return _on_tensor(values, node, location, quantises=False)

    def dequantize_channels(values: Any, node: Node, location: Any) -> Any:
        scale, zero_point = (_constant(exported, node.args[i]) for i in (1, 2))
        axis = np.array(node.args[3], np.int32)
        return _made(values, node, location, scale, zero_point, axis, node.args[6], False)

    for name, lowering in (
        ("quantize_per_tensor", quantize),
        ("dequantize_per_tensor", dequantize),
        ("dequantize_per_channel", dequantize_channels),
    ):
        converter.register_torch_lowering(f"quantized_decomposed::{name}.default")(lowering)


def _on_tensor(values: Any, node: Node, location: Any, quantises: bool) -> Any:
    arguments: Any = node.args
    _, scale, zero_point, low, high, kind = arguments[:6]
    limits = torch.iinfo(kind)
    if quantises and (low, high) != (limits.min, limits.max):
        raise ValueError(f"{node.target} rounds to {low}..{high}, and Core AI to every {kind}")
    # All axes together stand for one scale of the whole tensor.
    axes = np.arange(len(node.meta["val"].shape), dtype=np.int32)
    return _made(
        values, node, location, np.array(scale), np.array(zero_point), axes, kind, quantises
    )


def _made(
    values: Any,
    node: Node,
    location: Any,
    scale: np.ndarray,
    zero_point: np.ndarray,
    axis: np.ndarray,
    kind: Any,
    quantises: bool,
) -> Any:
    from coreai._compiler.dialects import coreai
    from coreai_torch._utils import get_operand

    if kind not in _CODES:
        raise ValueError(f"{node.target} has codes of {kind}; Core AI takes int8, uint8 and int32")
    operator = coreai.quantize if quantises else coreai.dequantize
    return operator(
        get_operand(values, node, 0, location),
        coreai.constant(scale.astype(np.float32)),
        coreai.constant(zero_point.astype(_CODES[kind])),
        coreai.constant(np.zeros(scale.shape, np.float32)),
        coreai.constant(axis),
        loc=location,
    )


def _constant(exported: ExportedProgram, node: Any) -> np.ndarray:
    """Return the value of a parameter, buffer or constant of a program."""
    signature = exported.graph_signature
    named = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    if getattr(node, "name", None) not in named:
        raise ValueError(f"the scale {node} is computed by the network; expected a constant")
    name = named[node.name]
    held = exported.state_dict if name in exported.state_dict else exported.constants
    value: np.ndarray = held[name].detach().cpu().numpy()
    return value
