"""TorchScript modules as modules that ``torch.export`` follows."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

import torch
from torch._export.converter import TS2EPConverter
from torch.fx import GraphModule, Node

from edgeexpo.errors import ModuleError
from edgeexpo.failures import described
from edgeexpo.silence import quiet

TOLERANCE = 1e-5
"""Largest difference between the results of a script and of its operators."""

_WAY_OUT = "export the Python module that it was made from"


def is_torchscript(module: torch.nn.Module) -> bool:
    """Return true for a module of ``torch.jit.script`` or ``torch.jit.trace``."""
    return isinstance(module, torch.jit.ScriptModule)


def followed(module: torch.nn.Module, examples: Sequence[torch.Tensor]) -> GraphModule:
    """Return a module of torch operators that computes what a TorchScript module computes.

    Args:
        module: A module of ``torch.jit.script`` or ``torch.jit.trace`` that returns one tensor.
        examples: One NCHW tensor for each input.

    Returns:
        The module. Its parameters and inputs have the names of the script.

    Raises:
        ModuleError: The script holds an operator that cannot be converted, or gives other results
            as operators.
    """
    try:
        with quiet(), torch.no_grad():
            found = _converted(module, tuple(examples))
            difference = (found(*examples) - module(*examples)).abs().max()
    except Exception as error:  # torch's converter may raise anything
        raise ModuleError(
            f"the TorchScript module cannot be converted ({described(error)}); {_WAY_OUT}"
        ) from error
    if not difference <= TOLERANCE:
        raise ModuleError(
            f"the TorchScript module differs by {difference:.2g} as operators; {_WAY_OUT}"
        )
    return found


class _Operators(TS2EPConverter):
    """torch's converter (2.13), stopped before it captures the operators at one size."""

    module: GraphModule

    def retrace_as_exported_program(self, gm: GraphModule, name_to_constant: Any) -> Any:
        """Keep the operators. The caller only looks at the weights of the result."""
        self.module = gm
        return types.SimpleNamespace(state_dict=self.ts_model.state_dict())  # type: ignore[union-attr]


def _converted(module: torch.nn.Module, examples: tuple[torch.Tensor, ...]) -> GraphModule:
    script = module.eval()
    converter = _Operators(script, examples)  # type: ignore[arg-type]
    converter.convert()
    found = converter.module
    names = [a.name for a in script.forward.schema.arguments[1:]]  # type: ignore[attr-defined]
    inputs = (n for n in found.graph.nodes if n.op == "placeholder")
    for node, name in zip(inputs, names, strict=True):
        node.target = name
    for node in list(found.graph.nodes):
        if node.target is torch.ops.aten.convolution.default:
            _name_convolution(node)
    output = next(n for n in found.graph.nodes if n.op == "output")
    (output.args,) = [((value,) if isinstance(value, Node) else value) for value in output.args]
    weights = {name for name, _ in script.named_parameters()}
    for name, value in [*found.named_parameters(), *found.named_buffers()]:
        owner, _, leaf = name.rpartition(".")
        plain = value.detach()  # a copied script has weights that are results of a copy
        if name in weights:
            plain = torch.nn.Parameter(plain)
        elif plain.dtype == torch.float64:  # a number of Python in the script
            plain = plain.float()
        setattr(found.get_submodule(owner), leaf, plain)
    found.recompile()
    return found.eval()


def _name_convolution(node: Node) -> None:
    """Replace the operator that stands for every convolution by the one of its kind."""
    image, weight, bias, stride, padding, dilation, transposed, extra, groups = node.args
    if len(stride) != 2:  # type: ignore[arg-type]
        return
    if transposed:
        node.target = torch.ops.aten.conv_transpose2d.input
        node.args = (image, weight, bias, stride, padding, extra, groups, dilation)
    else:
        node.target = torch.ops.aten.conv2d.default
        node.args = (image, weight, bias, stride, padding, dilation, groups)
