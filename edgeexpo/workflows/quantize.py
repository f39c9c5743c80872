"""INT8 weights of a network of the zoo that show what the float one shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from edgeexpo.bundle.files import digest
from edgeexpo.errors import UsageError
from edgeexpo.imaging.samples import Sample, samples, unseen
from edgeexpo.program.capture import Program
from edgeexpo.progress import track
from edgeexpo.quantization import int8_weights
from edgeexpo.quantization.headroom import widen
from edgeexpo.quantization.ptq import tensors
from edgeexpo.quantization.simulation import PerPicture
from edgeexpo.quantization.variants import Calibration, Variant, parse_variant
from edgeexpo.runtime.network_pictures import network_inputs
from edgeexpo.training.recipes import TrainingRecipe, recipe
from edgeexpo.training.run import Settings, imitate
from edgeexpo.workflows.calibration_pictures import calibration_samples, picture_size
from edgeexpo.workflows.calibration_search import Comparison, PictureJudge, compare
from edgeexpo.workflows.networks import Network, open_network
from edgeexpo.writing import check_file

QUANTIZE_METHODS = ("ptq", "qat")

QAT_STEPS = 400
QAT_RATE = 2e-5


@dataclass(frozen=True)
class Quantized:
    """What :func:`quantize` made.

    Attributes:
        path: The INT8 weights; ``export --int8`` takes them.
        facts: Preset, method, digest of the float weights; steps and loss on scenes kept back of
            training; the variant of calibration.
        comparison: Every variant of calibration that was tried; ``None`` after training.
    """

    path: Path
    facts: dict[str, Any]
    comparison: Comparison | None = None


def quantize(
    model: str,
    output: Path,
    *,
    method: str,
    settings: Settings | None = None,
    weights: Path | None = None,
    calibration: Path | None = None,
    changes: dict[str, Any] | None = None,
    variants: Sequence[str] = (),
    start: Path | None = None,
    force: bool = False,
) -> Quantized:
    """INT8 weights of a network of the zoo, calibrated, or trained from there (QAT).

    Calibration tries several variants (:mod:`edgeexpo.quantization.variants`) and keeps the one
    whose pictures are nearest to the float network's, on photographs that it was not calibrated on.

    Training goes on from the calibrated, equalised program with its ranges frozen: each step sees
    the rounding that the artefacts will have (straight-through gradients), and learns from the
    float network's output by the system's own error
    (:func:`edgeexpo.training.objectives.imitation`).

    Args:
        model: A name of the zoo.
        output: File to write.
        method: ``"ptq"`` or ``"qat"``.
        settings: Data and folders of the training; QAT needs them.
        weights: Float weights; the shipped ones by default.
        calibration: Photographs or brackets to calibrate on; the embedded ones by default.
        changes: Fields of the recipe to replace, such as ``{"steps": 100}``.
        variants: PTQ: names of the variants to try; a choice by default. QAT: the one that it
            starts from; plain by default.
        start: QAT: INT8 weights of the network to go on from instead of a calibration; of
            ``variants`` only ``headroom`` then has a meaning.
        force: Replace an existing file.

    Raises:
        UsageError: Unknown method, variant or model, no data, bad weights.
        WeightsError: ``start`` was made from other float weights.
        ExportError: No variant could be made.
        TrainingError: The loss is not finite.
        OutputError: The file cannot be written.
    """
    chosen = _checked(method, settings, variants, start)
    check_file(output, force)
    network = open_network(model, None, weights, (), start)
    program = network.capture()
    drawn = track(calibration_samples(network, program, calibration), "Calibrating")
    pictures = list(network_inputs(network.spec, drawn))
    facts: dict[str, Any] = {
        "preset": network.preset,
        "method": method,
        "float_sha256": None if network.weights is None else digest(network.weights),
    }
    if method == "ptq":
        judge = PictureJudge(network, program, judged(network, program, calibration))
        found = compare(Calibration(program, pictures), judge, variants)
        facts |= {"variant": found.best.variant}
        int8_weights.write_int8_weights(output, found.graph, facts)
        return Quantized(output, facts, found)
    others = tensors(program, pictures)
    if start is None:
        graph = Calibration(program, pictures).make(chosen)
    else:
        graph = int8_weights.simulated_by(program, int8_weights.read_int8_weights(start))
        if chosen.headroom:
            widen(graph, others)
    plan = dataclasses.replace(qat_recipe(network.preset or ""), **(changes or {}))
    assert settings is not None
    training = imitate(network.module, PerPicture(graph), plan, settings, others, exact=True)
    facts |= {
        "variant": chosen.name,
        "started_from": None if start is None else digest(start),
        "steps": training.step,
        "validation_loss": training.validated[-1][1],
    }
    int8_weights.write_int8_weights(output, cast(PerPicture, training.mean).graph, facts)
    return Quantized(output, facts)


def _checked(
    method: str, settings: Settings | None, variants: Sequence[str], start: Path | None
) -> Variant:
    """The variant that training starts from."""
    if method not in QUANTIZE_METHODS:
        raise UsageError(f"unknown method {method!r}; expected {' or '.join(QUANTIZE_METHODS)}")
    if method == "ptq" and start is not None:
        raise UsageError("--start is for training; leave it out, or take --method qat")
    if method == "qat" and settings is None:
        raise UsageError("QAT needs pictures to train on; give --data DIR")
    found = [parse_variant(name) for name in variants]
    if method == "qat" and len(found) > 1:
        raise UsageError(
            f"training starts from one variant, found {','.join(variants)}; expected one such as "
            "minmax or headroom, or --method ptq"
        )
    chosen = found[0] if found else Variant()
    if start is not None and chosen != Variant(headroom=chosen.headroom):
        raise UsageError(
            f"--start gives the weights and ranges, found --variants {chosen.name} besides; "
            "expected headroom or none"
        )
    return chosen


def judged(network: Network, program: Program, calibration: Path | None) -> list[Sample]:
    """Photographs to judge on that calibration has not seen.

    Args:
        network: Gives the frames and the size.
        program: Its captured form.
        calibration: The user's folder: then these are the embedded photographs; without one those
            are calibrated on, and :data:`edgeexpo.imaging.samples.UNSEEN` remain.
    """
    frames, size = len(network.spec.frames), picture_size(network, program)
    return unseen(frames, size) if calibration is None else samples(frames, None, size)


def qat_recipe(preset: str) -> TrainingRecipe:
    """The recipe of a preset's own training, shortened: the network has only to adapt."""
    own = recipe(preset)
    return dataclasses.replace(own, steps=QAT_STEPS, learning_rate=QAT_RATE, weight_decay=0.0)
