"""Rewriting of Fourier transforms for Core ML's converter."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, Node

from edgeexpo.program.values import tensor_of

_ATEN = torch.ops.aten

_FORWARD, _INVERSE = ("backward", "ortho", "forward"), ("forward", "ortho", "backward")
"""Names of the normalisations 0 (none), 1 (by the root) and 2 (by the length)."""


def named_transforms(graph: Graph) -> None:
    """Replace torch's inner Fourier transforms by those that the converter knows, in place.

    ``torch.export`` writes ``rfft2`` as ``_fft_r2c``. coremltools 9.0 knows ``fft_rfftn`` alone,
    which it writes as products with constant matrices. The sides need fixed lengths.
    """
    for node in list(graph.nodes):
        if node.target in _TRANSFORMS and _is_fixed(node):
            target, shape, norm = _TRANSFORMS[node.target](node)
            node.target = target
            node.args = (node.args[0], shape, list(node.args[1]), norm)


def _is_fixed(node: Node) -> bool:
    value = tensor_of(node.args[0])
    return value is not None and all(isinstance(side, int) for side in value.shape)


def _real_to_complex(node: Node) -> tuple[Any, Any, str]:
    onesided = bool(node.args[3])
    target = _ATEN.fft_rfftn.default if onesided else _ATEN.fft_fftn.default
    return target, None, _FORWARD[_code(node)]


def _complex_to_real(node: Node) -> tuple[Any, Any, str]:
    value = tensor_of(node.args[0])
    assert value is not None
    dims: Any = node.args[1]
    shape = [int(value.shape[dim]) for dim in dims[:-1]] + [node.args[3]]
    return _ATEN.fft_irfftn.default, shape, _INVERSE[_code(node)]


def _complex_to_complex(node: Node) -> tuple[Any, Any, str]:
    if node.args[3]:
        return _ATEN.fft_fftn.default, None, _FORWARD[_code(node)]
    return _ATEN.fft_ifftn.default, None, _INVERSE[_code(node)]


def _code(node: Node) -> int:
    code = node.args[2]
    assert isinstance(code, int)
    return code


_TRANSFORMS: dict[Any, Any] = {
    _ATEN._fft_r2c.default: _real_to_complex,
    _ATEN._fft_c2r.default: _complex_to_real,
    _ATEN._fft_c2c.default: _complex_to_complex,
}
"""Inner transform -> function that gives the converter's operator, its shape and normalisation."""
