"""From samples to a network's tensors in torch, and from its tensor to the displayed picture."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from torch import Tensor

from edgeexpo.imaging.samples import Sample
from edgeexpo.program.tensors import picture_tensor, tensor_picture
from edgeexpo.runtime.network_pictures import displayed, network_inputs
from edgeexpo.spec import ModelSpec


def sample_tensors(spec: ModelSpec, pictures: Iterable[Sample]) -> list[tuple[Tensor, ...]]:
    """Turn samples into the arguments of ``forward``, 1xCxHxW float32 each."""
    return [
        tuple(picture_tensor(inputs[tensor.name]) for tensor in spec.inputs)
        for inputs in network_inputs(spec, pictures)
    ]


def displayed_output(spec: ModelSpec, output: Tensor) -> np.ndarray:
    """Turn what ``forward`` gives, 1xCxHxW, into the displayed picture, HxWxC float32."""
    return displayed(spec, tensor_picture(output))
