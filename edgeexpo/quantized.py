"""INT8 weights of a network of the zoo, trained to show what the float one shows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from edgeexpo.artifact import check_file, digest
from edgeexpo.calibration import calibration_samples, network_inputs
from edgeexpo.errors import UsageError
from edgeexpo.networks import open_network
from edgeexpo.progress import track
from edgeexpo.quantization import trained
from edgeexpo.quantization.ptq import calibrated, tensors
from edgeexpo.quantization.simulation import PerPicture, simulate
from edgeexpo.training.recipes import Recipe, recipe
from edgeexpo.training.run import Settings, imitate

METHODS = ("ptq", "qat")

QAT_STEPS = 400
QAT_RATE = 2e-5


@dataclass(frozen=True)
class Quantized:
    """What :func:`quantize` made.

    Attributes:
        path: The INT8 weights; ``export --int8`` takes them.
        facts: Preset, method, steps, digest of the float weights, loss on scenes kept back.
    """

    path: Path
    facts: dict[str, Any]


def quantize(
    model: str,
    output: Path,
    *,
    method: str,
    settings: Settings | None = None,
    weights: Path | None = None,
    calibration: Path | None = None,
    changes: dict[str, Any] | None = None,
    force: bool = False,
) -> Quantized:
    """INT8 weights of a network of the zoo, calibrated, or trained from there (QAT).

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
        force: Replace an existing file.

    Raises:
        UsageError: Unknown method or model, no data, bad weights.
        TrainingError: The loss is not finite.
        OutputError: The file cannot be written.
    """
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}; expected {' or '.join(METHODS)}")
    check_file(output, force)
    network = open_network(model, None, weights, ())
    program = network.capture()
    samples = track(calibration_samples(network, program, calibration), "Calibrating")
    pictures = list(network_inputs(network.spec, samples))
    _, graph = calibrated(program, pictures)
    simulate(graph)
    facts: dict[str, Any] = {
        "preset": network.preset,
        "method": method,
        "float_sha256": None if network.weights is None else digest(network.weights),
    }
    if method == "qat":
        if settings is None:
            raise UsageError("QAT needs pictures to train on; give --data DIR")
        plan = dataclasses.replace(qat_recipe(network.preset or ""), **(changes or {}))
        others = tensors(program, pictures)
        student = PerPicture(graph)
        training = imitate(network.module, student, plan, settings, others, exact=True)
        graph = cast(PerPicture, training.mean).graph
        facts |= {"steps": training.step, "validation_loss": training.validated[-1][1]}
    trained.write(output, graph, facts)
    return Quantized(output, facts)


def qat_recipe(preset: str) -> Recipe:
    """The recipe of a preset's own training, shortened: the network has only to adapt."""
    own = recipe(preset)
    return dataclasses.replace(own, steps=QAT_STEPS, learning_rate=QAT_RATE, weight_decay=0.0)
