"""Conversion of samples to input tensors in torch, and of the output to the displayed picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from edgeexpo.imaging.pu21 import BEST_PSNR
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity.metrics.pictures import psnr
from edgeexpo.program.tensors import picture_tensor, tensor_picture
from edgeexpo.quantization.sensitivity import ScoreFunction
from edgeexpo.runtime.network_pictures import displayed, network_inputs
from edgeexpo.spec import ModelSpec


def sample_tensors(spec: ModelSpec, pictures: Iterable[Sample]) -> list[tuple[Tensor, ...]]:
    """Turn samples into the arguments of ``forward``.

    Returns:
        For each sample one 1xCxHxW float32 tensor for each input of the network, in its range and
        encoding.
    """
    return [
        tuple(picture_tensor(inputs[tensor.name]) for tensor in spec.inputs)
        for inputs in network_inputs(spec, pictures)
    ]


def displayed_output(spec: ModelSpec, output: Tensor) -> np.ndarray:
    """Turn the output of ``forward`` into the displayed picture.

    Args:
        spec: The network.
        output: 1xCxHxW, in the range and encoding of the network's output.

    Returns:
        HxWxC float32, as :func:`edgeexpo.runtime.network_pictures.displayed` encodes it.
    """
    return displayed(spec, tensor_picture(output))


def picture_score(
    spec: ModelSpec, module: nn.Module, pictures: Sequence[tuple[Tensor, ...]]
) -> ScoreFunction:
    """Return the score of an output: its PSNR in dB from what the float network shows.

    Args:
        spec: The network.
        module: The float network.
        pictures: Inputs of the network, 1xCxHxW each.

    Returns:
        Function of the picture's index and an NCHW output.
    """
    with torch.no_grad():
        expected = [displayed_output(spec, module(*inputs)) for inputs in pictures]

    def score(index: int, output: Tensor) -> float:
        candidate = displayed_output(spec, output)
        return psnr(expected[index], candidate) if np.isfinite(candidate).all() else -BEST_PSNR

    return score
