"""Pictures that the ranges of activations are taken from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgeexpo.export.program import Program
from edgeexpo.imaging.samples import Sample, samples
from edgeexpo.networks import Network
from edgeexpo.parity.probes import extremes
from edgeexpo.runtime.stages import front
from edgeexpo.spec import ModelSpec

CALIBRATION_SIDE = 256
"""Calibration pictures are at most this high and wide: histograms need pixels, not resolution."""


def calibration_samples(network: Network, program: Program, source: Path | None) -> list[Sample]:
    """What the ranges of activations are taken from.

    Args:
        network: Gives the frames and the size.
        program: Its captured form.
        source: Folder of photographs or brackets; ``None`` takes the embedded photographs.
    """
    height, width = network.size
    if program.dynamic or len(network.spec.fixed_inputs) == len(network.spec.inputs):
        step = network.spec.multiple
        height, width = (max(step, min(s, CALIBRATION_SIDE) // step * step) for s in network.size)
    frames = len(network.spec.frames)
    photographs = samples(frames, source, (height, width), seed=1)
    if network.spec.residual is not None:  # where features saturate, the picture itself remains
        return photographs
    return [*photographs, *extremes(frames, (height, width))]


def network_inputs(
    spec: ModelSpec, pictures: Sequence[Sample] | Iterator[Sample]
) -> Iterator[dict[str, np.ndarray]]:
    """The network's inputs of each sample, HxWxC float32 by name: what its front stage gives."""
    return (front(spec, sample.frames, sample.ev) for sample in pictures)
