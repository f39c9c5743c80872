"""The pictures that artefacts are judged on, with what the reference makes of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeexpo.artifact import Bundle
from edgeexpo.imaging.color import linear_to_srgb
from edgeexpo.imaging.guided import decode
from edgeexpo.imaging.samples import Sample
from edgeexpo.imaging.samples import samples as pictures
from edgeexpo.parity.metrics import psnr
from edgeexpo.parity.probes import SIDE, probes
from edgeexpo.parity.reference import Device, ProgramReference, describe, read_golden
from edgeexpo.progress import track
from edgeexpo.runtime.stages import front
from edgeexpo.spec import ModelSpec

PHOTOGRAPH, PROBE = "photograph", "probe"


@dataclass(frozen=True)
class Case:
    """One set of network inputs with the outputs that artefacts are compared with.

    Attributes:
        name: Name of the photograph or probe.
        kind: ``photograph`` or ``probe``.
        inputs: HxWxC float32 by input name.
        reference: Output of the float program as it is seen (:func:`seen`), HxWxC float32.
        quantized: Output of the quantised program in torch, likewise; ``None`` without one.
        sample: The frames; ``None`` for golden cases, which keep the network's inputs only.
    """

    name: str
    kind: str
    inputs: Mapping[str, np.ndarray]
    reference: np.ndarray
    quantized: np.ndarray | None = None
    sample: Sample | None = None


def program_cases(
    bundle: Bundle,
    device: str,
    images: str | os.PathLike[str] | None,
    samples: Sequence[Sample] | None,
    integer: bool,
) -> tuple[list[Case], Device]:
    """Photographs and probes through the bundle's programs in torch.

    Args:
        bundle: Its ``reference.pt2`` is run, and its ``quantized.pt2`` if ``integer`` is set.
        device: ``cpu`` or ``cuda``, for the float program.
        images: Folder of photographs or brackets; the embedded photographs by default.
        samples: Frames to use instead of ``images``.
        integer: Whether an INT8 artefact is judged.
    """
    spec, recipe = bundle.manifest.model, bundle.manifest.recipe
    frames = len(spec.frames)
    if samples is None:
        samples = pictures(frames, None if images is None else Path(images), recipe.size)
    if spec.halo is not None and min(recipe.size) > 2 * spec.halo:
        generated = probes(frames, SIDE)
    else:
        generated = [_cropped(probe, recipe.size) for probe in probes(frames, max(recipe.size))]
    work = [(PHOTOGRAPH, s) for s in samples] + [(PROBE, s) for s in generated]
    run = ProgramReference(bundle, "reference.pt2", device)
    quantized = None
    if integer and "quantized.pt2" in bundle.manifest.files:
        quantized = ProgramReference(bundle, "quantized.pt2", "cpu")
    cases = []
    for kind, sample in track(work, "Reference pictures"):
        inputs = front(spec, sample.frames, sample.ev)
        expected = seen(spec, run(inputs))
        expected_integer = None if quantized is None else seen(spec, quantized(inputs))
        cases.append(Case(sample.name, kind, inputs, expected, expected_integer, sample))
    return cases, describe(device)


def golden_cases(bundle: Bundle) -> tuple[list[Case], Device]:
    """The recorded inputs and reference outputs of a bundle, and what computed them."""
    inputs, outputs, device = read_golden(bundle)
    spec = bundle.manifest.model
    cases = [
        Case(name, PHOTOGRAPH, inputs[name], seen(spec, outputs[name])) for name in sorted(outputs)
    ]
    return cases, device


def seen(spec: ModelSpec, output: np.ndarray) -> np.ndarray:
    """Lab and linear outputs as sRGB-encoded RGB, in which pictures are judged; others as they are.

    Relative radiance is shown with its 1 at the display's white.
    """
    if spec.outputs[0].color == "Lab":
        return decode(output, "lab")
    if spec.outputs[0].transfer == "linear":
        return linear_to_srgb(np.clip(output, 0, 1))
    return output


def noise_floor(cases: Sequence[Case]) -> float | None:
    """Worst PSNR of the quantised program against the float program over the photographs."""
    found = [
        psnr(c.reference, c.quantized)
        for c in cases
        if c.kind == PHOTOGRAPH and c.quantized is not None
    ]
    return min(found) if found else None


def _cropped(probe: Sample, size: tuple[int, int]) -> Sample:
    frames = tuple(frame[: size[0], : size[1]] for frame in probe.frames)
    return dataclasses.replace(probe, frames=frames)
