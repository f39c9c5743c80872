"""Pictures for calibration, which takes the ranges of activations from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeexpo.errors import UsageError
from edgeexpo.imaging.samples import Sample, samples
from edgeexpo.parity.probes import extremes, grain, textures
from edgeexpo.program.capture import Program
from edgeexpo.progress import track
from edgeexpo.runtime.network_pictures import network_inputs, planar
from edgeexpo.workflows.networks import Network

CALIBRATION_SIDE = 256
"""Largest side of a calibration picture in pixels: histograms need pixels, not resolution."""

MOST_PICTURES = 16
"""Largest number of pictures of a folder that are used. More pictures hardly change a range."""

BINS = 32
"""Number of bins of a histogram for each channel of each frame."""


def calibration_samples(
    network: Network, program: Program, source: Path | None, side: int = CALIBRATION_SIDE
) -> list[Sample]:
    """Return the pictures to calibrate on: photographs and generated pictures.

    Args:
        network: The network, whose spec gives the frames and the size.
        program: The captured program of the network.
        source: Folder of photographs or brackets. ``None`` stands for the embedded photographs.
        side: Largest side in pixels where the network takes smaller pictures than its own.

    Returns:
        Samples whose frames are HxWx3 float32, sRGB-encoded, in [0, 1]. At most
        :data:`MOST_PICTURES` of them come from ``source``.

    Raises:
        UsageError: The folder cannot be used, or every picture is a flat colour and shows no range.
        PictureError: A file in the folder cannot be used.
        MissingDependencyError: The embedded photographs are not installed.
    """
    size = picture_size(network, program, side)
    frames = len(network.spec.frames)
    photographs = representative(samples(frames, source, size, seed=1))
    found = [*photographs, *textures(frames, size)]
    # Where the features of a residual network saturate, the picture itself remains. But a
    # correction outside its narrow range is cut, so such a network needs grain. Grain would widen
    # every range of other networks.
    beside = extremes if network.spec.residual is None else grain
    return [*found, *beside(frames, size)]


def calibration_inputs(
    network: Network, program: Program, source: Path | None
) -> list[dict[str, np.ndarray]]:
    """Return the network's inputs for :func:`calibration_samples`, with the same arguments.

    Returns:
        HxWxC float32 by input name, for every sample.
    """
    drawn = track(calibration_samples(network, program, source), "Calibrating")
    return list(network_inputs(network.spec, drawn))


def whole_inputs(
    network: Network, program: Program, source: Path | None
) -> list[dict[str, np.ndarray]]:
    """Return the inputs for :func:`calibration_samples` at the network's own size, for engines.

    Returns:
        1xCxHxW float32 by input name, for every sample.
    """
    drawn = calibration_samples(network, program, source, max(network.size))
    return [planar(inputs) for inputs in network_inputs(network.spec, drawn)]


def picture_size(
    network: Network, program: Program, side: int = CALIBRATION_SIDE
) -> tuple[int, int]:
    """Return the (height, width) in pixels of the pictures to calibrate on.

    Each side is at most ``side`` if the program or the network allows another size
    than the exported one.
    """
    height, width = network.size
    if program.dynamic or len(network.spec.fixed_inputs) == len(network.spec.inputs):
        step = program.sizes.multiple
        height, width = (max(step, min(s, side) // step * step) for s in network.size)
    return network.spec.frame_size((height, width))


def representative(found: Sequence[Sample], most: int = MOST_PICTURES) -> list[Sample]:
    """Choose the few pictures that together cover tones and colours best.

    The choice does not depend on the order of the candidates. The darkest and the brightest picture
    are chosen first, since near-black and blown frames hold the ends of the ranges. Then pictures
    are added one by one.

    Each step adds the picture that raises the coverage most. The coverage is a sum over all bins of
    all histograms, :data:`BINS` for each channel of each frame. A bin counts with the square root
    of what the chosen pictures put there. So a rare tone counts more than one more common tone.

    Args:
        found: The candidates.
        most: Number of pictures to choose.

    Returns:
        At most ``most`` candidates, sorted by name.

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
    """Return the share of each bin, frame by frame and channel by channel."""
    counts = [
        np.histogram(frame[..., channel], bins=BINS, range=(0, 1))[0] / frame[..., channel].size
        for frame in sample.frames
        for channel in range(frame.shape[2])
    ]
    return np.concatenate(counts)
