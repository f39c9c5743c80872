"""INT8 weights of a network that show what the float one shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import nn
from torch.fx import GraphModule

from edgeexpo.bundle.files import digest
from edgeexpo.errors import UsageError
from edgeexpo.imaging.samples import Sample, samples, unseen
from edgeexpo.models.foreign import Inputs
from edgeexpo.program.capture import Program
from edgeexpo.progress import track
from edgeexpo.quantization import int8_weights
from edgeexpo.quantization.headroom import widen
from edgeexpo.quantization.ptq import tensors
from edgeexpo.quantization.simulation import PerPicture
from edgeexpo.quantization.variants import Calibration, Variant, parse_variant
from edgeexpo.runtime.network_pictures import network_inputs
from edgeexpo.short_repr import short_repr
from edgeexpo.training.recipes import TrainingRecipe, recipe
from edgeexpo.training.run import Settings, imitate
from edgeexpo.workflows.arguments import AnyPath, optional_path, several
from edgeexpo.workflows.calibration_pictures import calibration_samples, picture_size
from edgeexpo.workflows.calibration_search import Comparison, PictureJudge, compare, told
from edgeexpo.workflows.imitation import given, imitation_settings
from edgeexpo.workflows.networks import Network, open_network
from edgeexpo.writing import check_file

QUANTIZE_METHODS = ("ptq", "qat")

QAT_STEPS = 400
QAT_RATE = 2e-5


@dataclass(frozen=True)
class Quantized:
    """What :func:`quantize` made.

    Attributes:
        path: The INT8 weights, which ``int8`` of :func:`edgeexpo.export_bundle` takes; ``None``
            where no file was asked for.
        facts: Preset, method, digest of the float weights; steps and loss on scenes kept back of
            training; the variant of calibration.
        comparison: Every variant of calibration that was tried; ``None`` after training.
    """

    path: Path | None
    facts: dict[str, Any]
    comparison: Comparison | None = None

    def __repr__(self) -> str:
        rows = [] if self.comparison is None else self.comparison.rows
        return short_repr(
            f"Quantized {self.facts['preset']} by {self.facts['method']}, "
            f"{self.facts['variant']}: {self.path or 'in memory'}",
            [told(row) for row in rows],
        )


def quantize(
    model: str | nn.Module,
    output: AnyPath | None = None,
    *,
    method: str = "ptq",
    inputs: Inputs = (),
    weights: AnyPath | None = None,
    calibration: AnyPath | None = None,
    variants: str | Sequence[str] = (),
    data: AnyPath | None = None,
    start: AnyPath | None = None,
    run: AnyPath | None = None,
    scenes_dir: AnyPath | None = None,
    device: str = "auto",
    threads: int | None = None,
    steps: int | None = None,
    batch: int | None = None,
    crop: int | None = None,
    learning_rate: float | None = None,
    scenes: int | None = None,
    seed: int | None = None,
    force: bool = False,
) -> Quantized:
    """Make INT8 weights of a network, by calibration or by training from there (QAT).

    Calibration tries several variants (:mod:`edgeexpo.quantization.variants`) and keeps the one
    whose pictures are nearest to the float network's, on photographs that it was not calibrated on.

    Training goes on from the calibrated, equalised program with its ranges frozen: each step sees
    the rounding that the artefacts will have (straight-through gradients), and learns from the
    float network's output by the system's own error
    (:func:`edgeexpo.training.objectives.imitation`).

    Args:
        model: A name of the zoo, ``path/to/net.py:factory``, or a module in memory, which stays
            unchanged.
        output: File to write; by default nothing is written.
        method: ``"ptq"`` or ``"qat"``, which is for networks of the zoo.
        inputs: The shape of every input of a module that is not of the zoo, as for
            :func:`edgeexpo.export_bundle`.
        weights: Float weights; the shipped ones, or the module's own, by default.
        calibration: Photographs or brackets to calibrate on; the embedded ones by default.
        variants: PTQ: names of the variants to try; a choice by default. QAT: the one that it
            starts from; plain by default.
        data: QAT: folder of radiance maps and photographs to train on.
        start: QAT: INT8 weights of the network to go on from instead of a calibration; of
            ``variants`` only ``headroom`` then has a meaning.
        run: QAT: the training's folder, resumable; ``runs/NAME.int8`` by default.
        scenes_dir: QAT: folder of made scenes, shared by runs; in the training's folder by default.
        device: QAT: ``"auto"``, ``"cpu"``, ``"cuda"``...
        threads: QAT: CPU threads; torch's choice by default.
        steps: QAT: steps, instead of the recipe's.
        batch: QAT: scenes in a batch, instead of the recipe's.
        crop: QAT: side of the crops in pixels, instead of the recipe's.
        learning_rate: QAT: instead of the recipe's.
        scenes: QAT: number of scenes, instead of the recipe's.
        seed: QAT: seed of everything random, instead of the recipe's.
        force: Replace an existing file.

    Raises:
        UsageError: Unknown method, variant or model, no data, bad weights.
        WeightsError: ``start`` was made from other float weights.
        ExportError: No variant could be made.
        TrainingError: The loss is not finite.
        OutputError: The file cannot be written.

    Example:
        >>> made = edgeexpo.quantize(
        ...     network,
        ...     folder / "net.int8.safetensors",
        ...     inputs={"input": (1, 3, 64, 64)},
        ...     calibration=photographs,
        ...     variants="plain",
        ... )
        >>> made.facts["variant"]
        'plain'
    """
    names, path = several(variants), optional_path(output)
    chosen = _checked(method, data, names, start)
    if path is not None:
        check_file(path, force)
    network = open_network(model, None, weights, inputs, start)
    name = network.spec.name if network.preset is None else network.preset
    changes = given(
        steps=steps, batch=batch, crop=crop, learning_rate=learning_rate, scenes=scenes, seed=seed
    )
    settings = imitation_settings(model, data, run, f"{name}.int8", scenes_dir, device, threads)
    facts = {"preset": name, "method": method, "float_sha256": network.weights_sha256}
    source = optional_path(calibration)
    if method == "ptq":
        found = _searched(network, source, names)
        facts |= {"variant": found.best.variant}
        return _written(path, found.graph, facts, found)
    assert settings is not None
    graph, learnt = _trained(network, source, chosen, optional_path(start), settings, changes)
    return _written(path, graph, facts | learnt)


def _searched(network: Network, source: Path | None, variants: Sequence[str]) -> Comparison:
    program = network.capture()
    drawn = track(calibration_samples(network, program, source), "Calibrating")
    pictures = list(network_inputs(network.spec, drawn))
    judge = PictureJudge(network, program, judged(network, program, source))
    return compare(Calibration(program, pictures), judge, variants)


def _trained(
    network: Network,
    source: Path | None,
    chosen: Variant,
    start: Path | None,
    settings: Settings,
    changes: dict[str, Any],
) -> tuple[GraphModule, dict[str, Any]]:
    """Train from a variant of calibration, or from INT8 weights; the graph, and facts about it."""
    program = network.capture()
    drawn = track(calibration_samples(network, program, source), "Calibrating")
    pictures = list(network_inputs(network.spec, drawn))
    others = tensors(program, pictures)
    if start is None:
        graph = Calibration(program, pictures).make(chosen)
    else:
        graph = int8_weights.simulated_by(program, int8_weights.read_int8_weights(start))
        if chosen.headroom:
            widen(graph, others)
    plan = dataclasses.replace(qat_recipe(network.preset or ""), **changes)
    training = imitate(network.module, PerPicture(graph), plan, settings, others, exact=True)
    facts = {
        "variant": chosen.name,
        "started_from": None if start is None else digest(start),
        "steps": training.step,
        "validation_loss": training.validated[-1][1],
    }
    return cast(PerPicture, training.mean).graph, facts


def _written(
    path: Path | None,
    graph: GraphModule,
    facts: dict[str, Any],
    comparison: Comparison | None = None,
) -> Quantized:
    if path is not None:
        int8_weights.write_int8_weights(path, graph, facts)
    return Quantized(path, facts, comparison)


def _checked(
    method: str, data: AnyPath | None, variants: Sequence[str], start: AnyPath | None
) -> Variant:
    """The variant that training starts from."""
    if method not in QUANTIZE_METHODS:
        raise UsageError(f"unknown method {method!r}; expected {' or '.join(QUANTIZE_METHODS)}")
    if method == "ptq" and start is not None:
        raise UsageError("`start` is for training; leave it out, or take `method='qat'`")
    if method == "qat" and data is None:
        raise UsageError("QAT needs pictures to train on; give `data` DIR")
    found = [parse_variant(name) for name in variants]
    if method == "qat" and len(found) > 1:
        raise UsageError(
            f"training starts from one variant, found {','.join(variants)}; expected one such as "
            "minmax or headroom, or `method='ptq'`"
        )
    chosen = found[0] if found else Variant()
    if start is not None and chosen != Variant(headroom=chosen.headroom):
        raise UsageError(
            f"`start` gives the weights and ranges, found `variants` {chosen.name} besides; "
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
