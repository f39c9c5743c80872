"""Unstructured magnitude pruning: zeros in the weights, for a smaller compressed download.

It does not make a network faster, because every engine here also multiplies by the zeros.
"""

from __future__ import annotations

import copy
import zlib
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from edgeexpo.errors import MissingDependencyError, UsageError


@dataclass(frozen=True)
class Sparse:
    """The result of unstructured pruning.

    Attributes:
        module: The sparse network, with zeros among its weights and unchanged shapes.
        zeros: Measured share of zeros among all parameters of rank 2 and more.
        bytes_before: Size of the network's tensors after zlib (level 9), in bytes.
        bytes_after: Size of the sparse network's tensors after zlib (level 9), in bytes.
    """

    module: nn.Module
    zeros: float
    bytes_before: int
    bytes_after: int


def sparsify(module: nn.Module, examples: tuple[Tensor, ...], ratio: float) -> Sparse:
    """Set the smallest weights of the whole network to zero with NNCF.

    Args:
        module: The network. It is not changed.
        examples: Its inputs, NCHW each.
        ratio: Share of the weights to set to zero, above 0 and below 1.

    Raises:
        UsageError: The ratio is out of range.
        MissingDependencyError: NNCF is not installed.
    """
    if not 0 < ratio < 1:
        raise UsageError(f"the ratio is {ratio:g}; expected a share above 0 and below 1")
    try:
        import nncf
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "unstructured pruning needs nncf; pip install 'edgeexpo[export]'"
        ) from error
    inputs: Any = examples if len(examples) > 1 else examples[0]
    network = nncf.prune(
        copy.deepcopy(module).eval(),
        mode=nncf.PruneMode.UNSTRUCTURED_MAGNITUDE_GLOBAL,
        ratio=ratio,
        examples_inputs=inputs,
    )
    masked = nncf.strip(
        network, strip_format=nncf.StripFormat.IN_PLACE, example_input=inputs
    ).state_dict()
    sparse = copy.deepcopy(module).eval()
    sparse.load_state_dict({name: masked[name] for name in sparse.state_dict()})
    weights = [p.detach() for p in sparse.parameters() if p.dim() > 1]
    zeros = sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
    return Sparse(sparse, zeros, compressed_bytes(module), compressed_bytes(sparse))


def compressed_bytes(module: nn.Module) -> int:
    """Return the size of all tensors of ``module`` after zlib (level 9), in bytes."""
    packer = zlib.compressobj(9)
    size = 0
    for value in module.state_dict().values():
        size += len(packer.compress(value.detach().contiguous().cpu().numpy().tobytes()))
    return size + len(packer.flush())
