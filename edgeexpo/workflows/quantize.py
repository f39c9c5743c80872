"""INT8 weights of a network that give nearly the pictures of the float network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from edgeexpo.errors import UsageError
from edgeexpo.imaging.samples import Sample, samples, unseen
from edgeexpo.models.foreign import Inputs
from edgeexpo.models.names import is_foreign
from edgeexpo.program.capture import Program
from edgeexpo.quantization import int8_weights
from edgeexpo.quantization.variants import Calibration, Variant, parse_variant
from edgeexpo.short_repr import short_repr
from edgeexpo.workflows.arguments import AnyPath, optional_path, several
from edgeexpo.workflows.calibration_pictures import calibration_inputs, picture_size
from edgeexpo.workflows.calibration_search import Comparison, PictureJudge, compare, told
from edgeexpo.workflows.imitation import given, imitation_settings
from edgeexpo.workflows.int8_training import train_int8
from edgeexpo.workflows.networks import Network, open_network
from edgeexpo.writing import check_file

QUANTIZE_METHODS = ("ptq", "qat")
"""Methods that make INT8 weights: calibration (PTQ), and training that simulates rounding (QAT)."""


@dataclass(frozen=True)
class Quantized:
    """The result of :func:`quantize`.

    Attributes:
        path: File of the INT8 weights, for ``int8`` of :func:`edgeexpo.export_bundle`. ``None`` if
            no file was requested.
        facts: Preset, method, digest of the float weights and variant of calibration. After
            training, also the steps and the loss on validation scenes.
        comparison: The variants of calibration that were tried. After training, the program that it
            started from and the trained one. ``best`` is then the trained one.
    """

    path: Path | None
    facts: dict[str, Any]
    comparison: Comparison

    def __repr__(self) -> str:
        return short_repr(
            f"Quantized {self.facts['preset']} by {self.facts['method']}, "
            f"{self.facts['variant']}: {self.path or 'in memory'}",
            [told(row) for row in self.comparison.rows],
        )


def quantize(
    model: str | nn.Module,
    output: AnyPath | None = None,
    *,
    method: str | None = None,
    inputs: Inputs = (),
    weights: AnyPath | None = None,
    weights_key: str | None = None,
    output_range: tuple[float, float] | None = None,
    apply_at_full_size: bool = False,
    full_size_form: str | None = None,
    output_name: str | None = None,
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
    """Make INT8 weights of a network by calibration (PTQ), or by training after it (QAT).

    Calibration tries several variants (:mod:`edgeexpo.quantization.variants`). It keeps the variant
    whose pictures are nearest to those of the float network. They are compared on photographs that
    calibration did not use.

    Training continues from the calibrated, equalised program with frozen ranges. Each step computes
    with the rounding of the future artefacts, with straight-through gradients. The float network is
    the teacher: no ground truth is needed. A network of the zoo learns by its system's own error
    (:func:`edgeexpo.training.objectives.imitation`). Any other network learns by the error of
    pictures (:func:`edgeexpo.training.own_network.own_objective`), on crops, or on whole pictures
    if it cannot run in tiles.

    Args:
        model: A name of the zoo, ``path/to/net.py:factory``, ``net.pt2`` of
            ``torch.export.save``, or a module in memory. The module stays unchanged.
        output: File to write. By default, nothing is written.
        method: ``"ptq"`` or ``"qat"``. By default, QAT if ``data`` or ``start`` is given, else PTQ.
        inputs: The shape of every input of a module that is not of the zoo, as for
            :func:`edgeexpo.export_bundle`.
        weights: Float weights. By default, the shipped weights or the module's own.
        weights_key: Key or prefix of the weights in a checkpoint that holds several sets, as for
            :func:`edgeexpo.export_bundle`.
        output_range: Values of a module's output that are black and white, as for
            :func:`edgeexpo.export_bundle`. By default, they are measured.
        apply_at_full_size: True if a module sees a small copy of every picture, as for
            :func:`edgeexpo.export_bundle`.
        full_size_form: Form in which a small result is applied at full size, as for
            :func:`edgeexpo.export_bundle`.
        output_name: Output of a module that is the picture, of several, as for
            :func:`edgeexpo.export_bundle`.
        calibration: Folder of photographs or brackets to calibrate on. By default, the embedded
            photographs.
        variants: PTQ: names of the variants to try, by default a fixed choice. QAT: the variant to
            start from. By default it is ``plain`` for a network of the zoo, and the best choice of
            ranges for any other.
        data: QAT: folder of radiance maps and photographs to train on. By default, a module that is
            not of the zoo trains on the embedded photographs.
        start: QAT: INT8 weights of the network to start from instead of a calibration. The only
            possible variant is then ``headroom``.
        run: QAT: folder of the training, which can be resumed. By default, ``runs/NAME.int8``.
        scenes_dir: QAT: folder of made scenes, shared by runs. By default, in the training's
            folder.
        device: QAT: ``"auto"``, ``"cpu"``, ``"cuda"`` or another device of torch.
        threads: QAT: number of CPU threads. By default, torch's choice.
        steps: QAT: number of steps, instead of the recipe's.
        batch: QAT: number of scenes in a batch, instead of the recipe's.
        crop: QAT: side of the crops in pixels, instead of the recipe's. A module that is not of the
            zoo has crops of 128 pixels by default, or whole pictures of the size that it is
            calibrated at.
        learning_rate: QAT: learning rate, instead of the recipe's.
        scenes: QAT: number of scenes, instead of the recipe's.
        seed: QAT: seed of everything random, instead of the recipe's.
        force: Replace an existing file.

    Returns:
        The INT8 weights' file, the facts about them and the variants that were compared.

    Raises:
        UsageError: The method, a variant or the model is unknown, or ``data`` is missing for a
            network of the zoo. Or the weights or pictures cannot be used.
        WeightsError: ``start`` was made from other float weights, or a checkpoint does not fit.
        ModuleError: ``forward`` fails or cannot be traced.
        ExportError: No variant could be made, or the network has nothing that can run in INT8.
        TrainingError: The loss is not finite, or the network has no gradients to train by.
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
    if method is None:
        method = "ptq" if data is None and start is None else "qat"
    chosen = _checked(model, method, data, names, start)
    if path is not None:
        check_file(path, force)
    network = open_network(
        model,
        None,
        weights,
        inputs,
        start,
        weights_key=weights_key,
        output_range=output_range,
        apply_at_full_size=apply_at_full_size,
        full_size_form=full_size_form,
        output_name=output_name,
    )
    name = network.spec.name if network.preset is None else network.preset
    facts = {"preset": name, "method": method, "float_sha256": network.weights_sha256}
    source = optional_path(calibration)
    if method == "ptq":
        found = _searched(network, source, names)
        facts |= {"variant": found.best.variant}
        return _written(path, facts, found)
    changes = given(
        steps=steps, batch=batch, crop=crop, learning_rate=learning_rate, scenes=scenes, seed=seed
    )
    settings = imitation_settings(data, run, f"{name}.int8", scenes_dir, device, threads)
    learnt, found = train_int8(network, source, chosen, optional_path(start), settings, changes)
    return _written(path, facts | learnt, found)


def _searched(network: Network, source: Path | None, variants: Sequence[str]) -> Comparison:
    program = network.capture()
    pictures = calibration_inputs(network, program, source)
    judge = PictureJudge(network, program, judged(network, program, source))
    return compare(Calibration(program, pictures), judge, variants)


def _written(path: Path | None, facts: dict[str, Any], comparison: Comparison) -> Quantized:
    if path is not None:
        int8_weights.write_int8_weights(path, comparison.graph, facts)
    return Quantized(path, facts, comparison)


def _checked(
    model: str | nn.Module,
    method: str,
    data: AnyPath | None,
    variants: Sequence[str],
    start: AnyPath | None,
) -> Variant | None:
    """Check the arguments and return the variant that training starts from, if a user chose one."""
    if method not in QUANTIZE_METHODS:
        raise UsageError(f"unknown method {method!r}; expected {' or '.join(QUANTIZE_METHODS)}")
    for name, value in (("start", start), ("data", data)):
        if method == "ptq" and value is not None:
            raise UsageError(f"`{name}` is for training; leave it out, or take `method='qat'`")
    if method == "qat" and data is None and isinstance(model, str) and not is_foreign(model):
        raise UsageError("QAT needs pictures to train on; give `data` DIR")
    found = [parse_variant(name) for name in variants]
    if method == "qat" and len(found) > 1:
        raise UsageError(
            f"training starts from one variant, found {','.join(variants)}; expected one such as "
            "minmax or headroom, or `method='ptq'`"
        )
    chosen = found[0] if found else None
    if start is not None and chosen is not None and chosen != Variant(headroom=chosen.headroom):
        raise UsageError(
            f"`start` gives the weights and ranges, found `variants` {chosen.name} besides; "
            "expected headroom or none"
        )
    return chosen


def judged(network: Network, program: Program, calibration: Path | None) -> list[Sample]:
    """Return photographs for judging that calibration does not use.

    With a user's folder, they are the embedded photographs. Without a folder, the embedded
    photographs are for calibration, and the photographs for judging are
    :data:`edgeexpo.imaging.samples.UNSEEN`.

    Args:
        network: The network, whose spec gives the frames and the size.
        program: The captured program of the network.
        calibration: The user's folder of calibration pictures, or ``None``.

    Returns:
        Samples whose frames are HxWx3 float32, sRGB-encoded, in [0, 1].

    Raises:
        MissingDependencyError: The photographs are not installed.
    """
    frames, size = len(network.spec.frames), picture_size(network, program)
    return unseen(frames, size) if calibration is None else samples(frames, None, size)
