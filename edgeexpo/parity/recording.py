"""Record a reference on a host with the device, for hosts without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity.cases import own_name, sized
from edgeexpo.parity.golden import Golden
from edgeexpo.parity.probes import PROBE_SIDE, probes
from edgeexpo.parity.referee import Ruling, referee
from edgeexpo.parity.reference import ProgramReference, describe_device
from edgeexpo.progress import track
from edgeexpo.runtime.network_pictures import network_inputs
from edgeexpo.runtime.tiling import fits_whole


def record(
    bundle: Bundle, device: str, photographs: Sequence[Sample], generated: Sequence[Sample] = ()
) -> Golden:
    """Run the float program on the middle of every picture and keep its inputs and outputs.

    Args:
        bundle: The bundle whose ``reference.pt2`` is run.
        device: One of :data:`edgeexpo.parity.reference.DEVICES`.
        photographs: Frames to record. The middle 256x256 pixels are taken, or the whole frame if an
            artefact does not take that size whole.
        generated: Probes to record, cut in the same way.

    Raises:
        BundleError: The program is missing, was changed, or cannot be read.
    """
    spec = bundle.manifest.model
    run = ProgramReference(bundle, "reference.pt2", device)
    inputs: dict[str, Mapping[str, np.ndarray]] = {}
    outputs = {}
    for sample in track([*generated, *photographs], "Recording"):
        name = own_name(sample, inputs)
        frames = tuple(_middle(frame, bundle) for frame in sample.frames)
        (inputs[name],) = network_inputs(spec, [dataclasses.replace(sample, frames=frames)])
        outputs[name] = run(inputs[name])
    return Golden(inputs, outputs, describe_device(device), tuple(s.name for s in generated))


def recorded_probes(bundle: Bundle) -> list[Sample]:
    """Return the probes at a size that every artefact takes."""
    return sized(bundle.manifest.model, bundle.manifest.recipe.size, probes)


def compared_with_cpu(bundle: Bundle, golden: Golden) -> tuple[Golden, Ruling]:
    """Compare a recording with the CPU's own reference.

    Returns:
        The recording and the comparison. The device's details then state the distance of the two
        references and, by float64, which is nearer.
    """
    run = ProgramReference(bundle, "reference.pt2", "cpu")
    here = {name: run(sample) for name, sample in golden.inputs.items()}
    ruling = referee(bundle, golden.inputs, golden.outputs, here)
    device = golden.device
    nearer = {"first": device.device, "second": "cpu"}.get(ruling.nearer, "neither")
    details = {
        **device.details,
        "difference_to_cpu": f"{ruling.difference:.2e}",
        "nearer_to_float64": nearer,
    }
    described = dataclasses.replace(device, details=details)
    return dataclasses.replace(golden, device=described), ruling


def _middle(frame: np.ndarray, bundle: Bundle) -> np.ndarray:
    manifest = bundle.manifest
    whole = (
        fits_whole(PROBE_SIDE, PROBE_SIDE, manifest.model.footprint, a.sizes)
        for a in manifest.artifacts
    )
    if manifest.model.halo is None and (PROBE_SIDE % manifest.model.multiple or not all(whole)):
        return frame
    top, left = (max(0, (side - PROBE_SIDE) // 2) for side in frame.shape[:2])
    return frame[top : top + PROBE_SIDE, left : left + PROBE_SIDE]
