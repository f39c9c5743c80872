"""Initial weights of a network from the weights of a smaller network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from edgeexpo.models import lrl, zoo


def widened(preset: str, small: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return weights for ``preset`` that compute the same function as the smaller network.

    The method follows T. Chen, I. Goodfellow, J. Shlens, "Net2Net", ICLR 2016. The small network's
    channels come first, and additional layers pass them on unchanged. New channels keep their
    random weights and do not reach the outputs of the small network.

    Args:
        preset: Preset of the larger network.
        small: Weights of the smaller network.

    Returns:
        Weights by name. For networks other than LRL, ``small`` itself.
    """
    network = zoo.get(preset).build()
    if not isinstance(network, lrl.LRLNet):
        return small
    state = network.state_dict()
    own, given = (_layers(weights) for weights in (state, small))
    width = small[f"{given[0]}.weight"].shape[0]
    sources = [*given[:-1], *[None] * (len(own) - len(given)), given[-1]]
    for name, source in zip(own, sources, strict=True):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        outputs = 3 if name == own[-1] else width
        weight[:outputs], bias[:outputs] = 0.0, 0.0
        if source is None:
            weight[:outputs, :width, 1, 1] = torch.eye(width)
        else:
            weight[:outputs, : small[f"{source}.weight"].shape[1]] = small[f"{source}.weight"]
            bias[:outputs] = small[f"{source}.bias"]
    return state


def _layers(state: Mapping[str, Tensor]) -> list[str]:
    """Return the names of convolutions, sorted by the number in the name.

    Files keep names in alphabetical order.
    """
    names = [k.removesuffix(".weight") for k in state if k.endswith(".weight")]
    layers = [n for n in names if state[f"{n}.weight"].dim() == 4]
    return sorted(layers, key=lambda name: int(name.rpartition(".")[2]))
