"""Pictures that the ranges of activations are taken from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeexpo.errors import UsageError
from edgeexpo.imaging.samples import Sample, samples
from edgeexpo.parity.probes import extremes, grain, textures
from edgeexpo.program.capture import Program
from edgeexpo.workflows.networks import Network

CALIBRATION_SIDE = 256
"""Calibration pictures are at most this high and wide: histograms need pixels, not resolution."""


MOST_PICTURES = 16
"""Pictures of a folder that are used; more hardly change a range."""

BINS = 32


def calibration_samples(network: Network, program: Program, source: Path | None) -> list[Sample]:
    """What the ranges of activations are taken from: photographs, and generated pictures beside.

    Args:
        network: Gives the frames and the size.
        program: Its captured form.
        source: Folder of photographs or brackets; ``None`` takes the embedded photographs.

    Raises:
        UsageError: Every picture is a flat colour: that shows no range.
    """
    size = picture_size(network, program)
    frames = len(network.spec.frames)
    photographs = representative(samples(frames, source, size, seed=1))
    found = [*photographs, *textures(frames, size)]
    # Where the features of a residual network saturate the picture itself remains, but a correction
    # that leaves its narrow range is cut; in other networks grain would widen every range.
    beside = extremes if network.spec.residual is None else grain
    return [*found, *beside(frames, size)]


def picture_size(network: Network, program: Program) -> tuple[int, int]:
    """(height, width) of pictures to calibrate on: at most :data:`CALIBRATION_SIDE` where it may
    vary."""
    height, width = network.size
    if program.dynamic or len(network.spec.fixed_inputs) == len(network.spec.inputs):
        step = network.spec.multiple
        height, width = (max(step, min(s, CALIBRATION_SIDE) // step * step) for s in network.size)
    return height, width


def representative(found: Sequence[Sample], most: int = MOST_PICTURES) -> list[Sample]:
    """The few pictures that together cover tones and colours best; the same ones every time.

    The darkest and the brightest picture come first, since near-black and blown frames hold the
    ends of the ranges; then, one by one, the picture that adds most to the sum over the bins of
    all histograms (:data:`BINS` a channel and frame) of the square root of what the chosen ones
    put there, in which a rare tone counts more than another of a common one.

    Args:
        found: Candidates.
        most: Pictures to choose.

    Raises:
        UsageError: Every picture is a flat colour.
    """
    candidates = sorted(found, key=lambda sample: sample.name)
    if all(float(np.ptp(f, axis=(0, 1)).max()) == 0 for s in candidates for f in s.frames):
        raise UsageError(
            f"all {len(candidates)} calibration pictures are a flat colour; expected photographs "
            "like those the network will see"
        )
    if len(candidates) <= most:
        return candidates
    shown = np.stack([_histogram(sample) for sample in candidates])
    levels = [float(np.mean([f.mean() for f in sample.frames])) for sample in candidates]
    chosen = list(dict.fromkeys((int(np.argmin(levels)), int(np.argmax(levels)))))
    while len(chosen) < most:
        covered = shown[chosen].sum(axis=0)
        gains = np.sqrt(covered + shown).sum(axis=1)
        gains[chosen] = -np.inf
        chosen.append(int(np.argmax(gains)))
    return [candidates[index] for index in sorted(chosen)]


def _histogram(sample: Sample) -> np.ndarray:
    """Share of each bin, frame by frame and channel by channel."""
    counts = [
        np.histogram(frame[..., channel], bins=BINS, range=(0, 1))[0] / frame[..., channel].size
        for frame in sample.frames
        for channel in range(frame.shape[2])
    ]
    return np.concatenate(counts)
