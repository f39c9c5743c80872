"""Programs that take tensors in any layout of memory."""

from __future__ import annotations

import torch
from torch.fx import GraphModule

_ATEN = torch.ops.aten
_VIEWS = frozenset({_ATEN.view.default, _ATEN._unsafe_view.default})


def take_any_layout(module: GraphModule) -> None:
    """Turn every ``view`` into a ``reshape``, in place.

    A view joins axes only where they follow one another in memory. That depends on the layout of
    the picture, since convolutions keep it, and on copies before the view. A reshape copies where
    it has to.
    """
    for node in module.graph.nodes:
        if node.target in _VIEWS:
            node.target = _ATEN.reshape.default
    module.recompile()
