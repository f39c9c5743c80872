"""Pictures that artefacts are judged on, with the outputs of the reference."""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.drawn_sizes import draw_size
from edgeexpo.errors import BundleError, PictureError, UsageError
from edgeexpo.imaging.samples import Sample
from edgeexpo.imaging.samples import samples as pictures
from edgeexpo.parity.golden import Device, read_golden
from edgeexpo.parity.metrics.pictures import psnr
from edgeexpo.parity.probes import (
    LARGER,
    PROBE_SIDE,
    SWAPPED,
    bracket_probes,
    is_noise,
    probes,
    scene,
)
from edgeexpo.parity.saturation import Saturation
from edgeexpo.progress import track
from edgeexpo.runtime.network_pictures import displayed, network_inputs
from edgeexpo.runtime.tiling import padded_size, plan_tiles
from edgeexpo.spec import ModelSpec

PHOTOGRAPH, PROBE, RELATION = "photograph", "probe", "relation"
"""Kinds of cases.

A relation is compared with another case and is not judged by itself. For example, no network has to
handle frames in the wrong order well.
"""

SECOND_SIZE, DRAWN_SIZE = "second-size", "size"
"""Names of the probes of other sizes than the artefacts' largest.

The second is a prefix. The height and width follow, as in ``size-47x61``.
"""

DRAWN_SIZES = 2
"""Number of sizes that are drawn at random for every network."""

_SLACK, _LEAST_USED = 1e-3, 1 / 16
"""Excess over a value range that is tolerated, and smallest share of a range that is used."""


WEIGHTS_PROGRAM = "weights.pt2"
"""File of a bundle with the INT8 weights and float activations, to which A16W8 is compared."""


@dataclass(frozen=True)
class Case:
    """One set of network inputs, with the outputs that artefacts are compared with.

    Attributes:
        name: Name of the photograph or probe.
        kind: ``photograph``, ``probe`` or ``relation``.
        inputs: HxWxC float32 by input name.
        reference: Displayed output of the float program
            (:func:`edgeexpo.runtime.network_pictures.displayed`), HxWxC float32.
        quantized: Displayed output of the quantised program in torch, HxWxC float32. ``None``
            without a quantised program.
        weights: Displayed output of the quantised program with float activations in torch, HxWxC
            float32. ``None`` without such a program.
        saturation: What saturates in the quantised program.
        sample: The frames. ``None`` for golden cases, which hold only the network's inputs.
    """

    name: str
    kind: str
    inputs: Mapping[str, np.ndarray]
    reference: np.ndarray
    quantized: np.ndarray | None = None
    sample: Sample | None = None
    saturation: tuple[Saturation, ...] = ()
    weights: np.ndarray | None = None


def program_cases(
    bundle: Bundle,
    device: str,
    images: str | os.PathLike[str] | None,
    samples: Sequence[Sample] | None,
    integer: bool,
) -> tuple[list[Case], Device]:
    """Run photographs and probes through the bundle's programs in torch.

    Args:
        bundle: The bundle. Its ``reference.pt2`` is run, its ``weights.pt2`` if it has one, and its
            ``quantized.pt2`` if ``integer`` is true.
        device: ``cpu`` or ``cuda``, for the float program. The quantised program runs on the CPU.
        images: Folder of photographs or brackets. By default, the embedded photographs.
        samples: Frames to use instead of ``images``.
        integer: True if an INT8 artefact is judged.

    Returns:
        The cases, photographs first, and the device of the float program.

    Raises:
        UsageError: The folder cannot be used, or all pictures are random noise.
        BundleError: A program is damaged, or the inputs contradict the manifest's ranges.
    """
    spec, recipe = bundle.manifest.model, bundle.manifest.recipe
    frames = len(spec.frames)
    if samples is None:
        samples = pictures(
            frames, None if images is None else Path(images), spec.frame_size(recipe.size)
        )
    refuse_noise(samples)
    generated = [*_generated(spec, recipe.size), *_second_size(bundle), *_drawn_sizes(bundle)]
    work = [(PHOTOGRAPH, s) for s in samples] + [
        (RELATION if s.name == SWAPPED else PROBE, s) for s in generated
    ]
    # These modules bring torch.
    from edgeexpo.parity.reference import ProgramReference, describe_device
    from edgeexpo.parity.saturation_count import SaturationCount

    run = ProgramReference(bundle, "reference.pt2", device)
    quantized, count = None, SaturationCount()
    if integer and "quantized.pt2" in bundle.manifest.files:
        quantized = ProgramReference(bundle, "quantized.pt2", "cpu", execution=count.execution)
    weights = None
    if WEIGHTS_PROGRAM in bundle.manifest.files:
        weights = ProgramReference(bundle, WEIGHTS_PROGRAM, "cpu")
    cases = []
    taken = {s.name for s in generated}
    for kind, sample in track(work, "Reference pictures"):
        name = own_name(sample, taken) if kind == PHOTOGRAPH else sample.name
        (inputs,) = network_inputs(spec, [sample])
        expected = displayed(spec, run(inputs))
        expected_integer = None if quantized is None else displayed(spec, quantized(inputs))
        by_weights = None if weights is None else displayed(spec, weights(inputs))
        found = count.take(name)
        cases.append(
            Case(name, kind, inputs, expected, expected_integer, sample, found, by_weights)
        )
    check_ranges(spec, cases)
    return cases, describe_device(device)


def own_name(photograph: Sample, taken: Container[str]) -> str:
    """Return a name for a photograph that no probe has. A user may have a picture named "noise"."""
    return f"{photograph.name} ({PHOTOGRAPH})" if photograph.name in taken else photograph.name


def refuse_noise(samples: Sequence[Sample]) -> None:
    """Refuse pictures that are all random noise.

    Errors average out on noise, so that artefacts with faults on photographs pass on noise.

    Raises:
        UsageError: All pictures are random noise.
    """
    if samples and all(is_noise(frame) for s in samples for frame in s.frames):
        raise UsageError(
            f"all {len(samples)} pictures are random noise, on which a broken network looks like a "
            "good one; expected photographs: name a folder of them with `images`"
        )


def _generated(spec: ModelSpec, size: tuple[int, int]) -> list[Sample]:
    frames = len(spec.frames)
    between = frames > 1 and sum(t.size is None for t in spec.inputs) == frames
    related = sized(spec, size, bracket_probes) if between else []
    beyond = (
        [scene(LARGER, frames, spec.frame_size(_beyond(spec, size)))] if tiled(spec, size) else []
    )
    return [*sized(spec, size, probes), *related, *beyond]


def _beyond(spec: ModelSpec, size: tuple[int, int]) -> tuple[int, int]:
    """Return a size of about 1.25 times ``size`` that can be cut into tiles; odd if possible."""
    cell = spec.footprint.cell
    height, width = (
        side + ((side // 4 | 1) + side % 2 if cell == 1 else -(-side // 4 // cell) * cell)
        for side in size
    )
    return height, width


def sized(
    spec: ModelSpec, size: tuple[int, int], make: Callable[[int, int], list[Sample]]
) -> list[Sample]:
    """Return generated pictures for a network exported at ``size``.

    If the network can run in tiles, the pictures have the side
    :data:`edgeexpo.parity.probes.PROBE_SIDE`. Otherwise they are cropped to ``size``.

    Args:
        spec: The model.
        size: (height, width) in pixels.
        make: Function that takes the number of frames and a side in pixels, and makes the pictures.
    """
    if tiled(spec, size):
        return make(len(spec.frames), PROBE_SIDE)
    size = spec.frame_size(size)
    return [cropped(picture, size) for picture in make(len(spec.frames), max(size))]


def _second_size(bundle: Bundle) -> list[Sample]:
    """Return a scene with odd sides below the largest size, for networks that do not use tiles.

    An exporter may fix a value for one size, such as the kernel of an adaptive pool. Its artefact
    is then right only at the exported size.
    """
    spec, (height, width) = bundle.manifest.model, bundle.manifest.recipe.size
    if tiled(spec, (height, width)) or not any(map(_flexible, bundle.manifest.artifacts)):
        return []
    least = max(min(a.sizes.smallest) for a in bundle.manifest.artifacts if _flexible(a))
    step = min(a.sizes.multiple for a in bundle.manifest.artifacts)
    side = [-(-max(least, n * 3 // 5 | 1) // step) * step for n in (height, width)]
    return [scene(SECOND_SIZE, len(spec.frames), spec.frame_size((side[0], side[1])))]


def _drawn_sizes(bundle: Bundle) -> list[Sample]:
    """Return scenes of sizes drawn at random, the same for every export of a network.

    The sides lie between the smallest and the largest of all artefacts, up to
    :data:`edgeexpo.parity.probes.PROBE_SIDE`.
    """
    spec, largest = bundle.manifest.model, bundle.manifest.recipe.size
    sizes = [a.sizes for a in bundle.manifest.artifacts if _flexible(a)]
    if spec.fixed_size is not None or not sizes:
        return []
    step = min(s.multiple for s in sizes)
    low = [min(s.smallest[axis] for s in sizes) for axis in (0, 1)]
    generator = np.random.default_rng(zlib.crc32(f"{spec.name} {largest}".encode()))
    found = []
    for _ in range(DRAWN_SIZES):
        height, width = draw_size(generator, (low[0], low[1]), largest, PROBE_SIDE, step)
        name = f"{DRAWN_SIZE}-{height}x{width}"
        found.append(scene(name, len(spec.frames), spec.frame_size((height, width))))
    return found


def accepted(artifact: Artifact, spec: ModelSpec, cases: Sequence[Case]) -> list[Case]:
    """Return the cases on which ``artifact`` is judged.

    It is not judged on pictures of sizes that the runtime refuses for it. An INT8 artefact of a
    network that looks at the whole picture was calibrated at the largest size only. So its picture
    at another size says nothing about the export.
    """
    whole = artifact.precision == "int8" and spec.halo is None
    return [
        case
        for case in cases
        if not _other_size(case) or (not whole and _takes(artifact, spec, case.reference.shape[:2]))
    ]


def _other_size(case: Case) -> bool:
    return case.name in (SECOND_SIZE, LARGER) or case.name.startswith(f"{DRAWN_SIZE}-")


def _takes(artifact: Artifact, spec: ModelSpec, size: tuple[int, ...]) -> bool:
    scale = spec.footprint.scale
    height, width = (int(side / scale) for side in size)
    full = padded_size(height, width, spec.footprint, artifact.sizes)
    try:
        plan_tiles(*full, spec.footprint, artifact.sizes)
    except PictureError:
        return False
    return True


def _flexible(artifact: Artifact) -> bool:
    return not artifact.sizes.enumerated and artifact.sizes.smallest != artifact.sizes.largest


def tiled(spec: ModelSpec, size: tuple[int, int]) -> bool:
    """Return true if a network exported at ``size`` can process pictures of any size in tiles."""
    return spec.halo is not None and min(size) > 2 * spec.halo


def golden_cases(bundle: Bundle) -> tuple[list[Case], Device]:
    """Return the recorded inputs and reference outputs of a bundle, and the device that made them.

    Raises:
        BundleError: The recording is missing or belongs to another model, or the inputs contradict
            the manifest's ranges.
        MissingDependencyError: safetensors is not installed.
    """
    golden, spec = read_golden(bundle), bundle.manifest.model
    cases = [
        Case(
            name,
            PROBE if name in golden.probes else PHOTOGRAPH,
            golden.inputs[name],
            displayed(spec, golden.outputs[name]),
        )
        for name in sorted(golden.outputs)
    ]
    check_ranges(spec, cases)
    return cases, golden.device


def check_ranges(spec: ModelSpec, cases: Sequence[Case]) -> None:
    """Check the inputs against the value ranges in the manifest.

    Over all cases together, an input has to lie in its range and to use at least a sixteenth of it.
    An app that scales its pictures to another range would show wrong pictures.

    Raises:
        BundleError: An input lies outside its range or uses too little of it.
    """
    for tensor in spec.inputs:
        low, high = tensor.value_range
        values = [case.inputs[tensor.name] for case in cases]
        found = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
        within = found[0] >= low - _SLACK and found[1] <= high + _SLACK
        if not within or found[1] - found[0] < _LEAST_USED * (high - low):
            raise BundleError(
                f"the manifest says that input {tensor.name!r} has values of {low:g} to {high:g}; "
                f"the pictures have {found[0]:.4g} to {found[1]:.4g}: export the bundle again"
            )


def noise_floor(cases: Sequence[Case]) -> float | None:
    """Return the worst PSNR of the quantised program against the float program, in dB.

    The worst is taken over the photographs. Without a quantised program, return ``None``.
    """
    found = [
        psnr(c.reference, c.quantized)
        for c in cases
        if c.kind == PHOTOGRAPH and c.quantized is not None
    ]
    return min(found) if found else None


def cropped(probe: Sample, size: tuple[int, int]) -> Sample:
    """Return ``probe`` with every frame cropped to its top left ``size``, (height, width)."""
    frames = tuple(frame[: size[0], : size[1]] for frame in probe.frames)
    return dataclasses.replace(probe, frames=frames)
