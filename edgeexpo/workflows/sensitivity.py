"""Sensitivity of a network: the picture quality that each layer costs, quantised or pruned."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from edgeexpo.errors import ExportError
from edgeexpo.imaging.samples import samples
from edgeexpo.models.foreign import Inputs
from edgeexpo.program.capture import Program
from edgeexpo.progress import status, track
from edgeexpo.quantization.ptq import calibrated, tensors
from edgeexpo.quantization.sensitivity import (
    pruned_alone,
    quality,
    quantization_costs,
    quantized_operators,
)
from edgeexpo.quantization.simulation import simulate
from edgeexpo.runtime.network_pictures import network_inputs
from edgeexpo.workflows.arguments import AnyPath, optional_path
from edgeexpo.workflows.calibration_pictures import calibration_samples, picture_size
from edgeexpo.workflows.network_tensors import picture_score
from edgeexpo.workflows.networks import Network, open_network
from edgeexpo.workflows.pruned_networks import examples
from edgeexpo.workflows.sensitivity_table import LayerCost, SensitivityTable
from edgeexpo.writing import check_file


def sensitivity(
    model: str | nn.Module,
    *,
    size: tuple[int, int] | None = None,
    weights: AnyPath | None = None,
    weights_key: str | None = None,
    inputs: Inputs = (),
    calibration: AnyPath | None = None,
    images: AnyPath | None = None,
    ratio: float | None = None,
    output: AnyPath | None = None,
    force: bool = False,
) -> SensitivityTable:
    """Measure the picture quality that every weighted operator of a network costs in INT8.

    The quality is the PSNR in dB against the float network's displayed pictures. Rounding is
    simulated in torch.

    Args:
        model: A name of the zoo, ``path/to/net.py:factory``, ``net.pt2`` of
            ``torch.export.save``, or a module in memory. The module stays unchanged.
        size: (height, width) of the network in pixels. Pictures are at most 256 pixels high and
            wide.
        weights: A checkpoint. By default, the shipped weights or the module's own.
        weights_key: Key or prefix of the weights in the checkpoint, as for
            :func:`edgeexpo.export_bundle`.
        inputs: The shape of every input of a module that is not of the zoo, as for
            :func:`edgeexpo.export_bundle`.
        calibration: Folder of pictures to take ranges from. By default, the embedded photographs.
        images: Folder of pictures to measure on. By default, the embedded photographs.
        ratio: Share of its output channels by which each layer is also pruned alone. By default,
            no layer is pruned.
        output: PNG to draw the table in. By default, nothing is drawn.
        force: Replace an existing drawing.

    Returns:
        The table, the costliest operator first.

    Raises:
        UsageError: An argument, a picture, the weights, the module or the ratio cannot be used.
        WeightsError: The checkpoint does not fit.
        ModuleError: ``forward`` fails or cannot be traced.
        ExportError: No operator of the network can be quantised.
        MissingDependencyError: ``output`` needs matplotlib, which is not installed.
        OutputError: The drawing cannot be written.

    Example:
        >>> table = edgeexpo.sensitivity(
        ...     network,
        ...     inputs={"input": (1, 3, 64, 64)},
        ...     calibration=photographs,
        ...     images=photographs,
        ... )
        >>> len(table.layers)
        2
    """
    drawing = optional_path(output)
    if drawing is not None:
        check_file(drawing, force)
    network = open_network(model, size, weights, inputs, weights_key=weights_key)
    found = measure_layers(network, calibration, images, ratio)
    if drawing is not None:
        from edgeexpo.workflows.plots import draw_sensitivity

        draw_sensitivity(drawing, found)
    return found


def measure_layers(
    network: Network,
    calibration: AnyPath | None = None,
    images: AnyPath | None = None,
    ratio: float | None = None,
) -> SensitivityTable:
    """Measure an opened network. Arguments and errors are those of :func:`sensitivity`."""
    spec = network.spec
    with status("Capturing the network"):
        program = network.capture()
    shown = samples(
        len(spec.frames), None if images is None else Path(images), picture_size(network, program)
    )
    pictures = tensors(program, network_inputs(spec, shown))
    judge = picture_score(spec, network.module, pictures)
    narrow = _pruned(network, program, ratio) if ratio is not None else {}
    source = None if calibration is None else Path(calibration)
    with status("Calibrating"):
        drawn = calibration_samples(network, program, source)
        _, graph = calibrated(program, network_inputs(spec, drawn))
    simulate(graph)
    chosen = quantized_operators(program, graph)
    if not chosen:
        raise ExportError("the network has no operator that can run in INT8")
    everything = quality(graph, pictures, judge)
    layers = []
    for operator in track(chosen, "Measuring layers"):
        (found,) = quantization_costs(graph, [operator], pictures, judge)
        made = narrow.get(operator.module)
        pruned = quality(made, pictures, judge) if isinstance(made, nn.Module) else None
        layers.append(LayerCost(found, pruned, made if isinstance(made, str) else None))
    layers.sort(key=lambda row: (row.sensitivity.alone.worst, row.sensitivity.alone.mean))
    names = tuple(sample.name for sample in shown)
    return SensitivityTable(
        spec.name, tuple(layers), everything, names, picture_size(network, program)
    )


def _pruned(network: Network, program: Program, ratio: float) -> dict[str, nn.Module | str]:
    weighted = dict.fromkeys(
        name.rpartition(".")[0]
        for name, value in network.module.named_parameters()
        if value.dim() > 1
    )
    inputs = network.spec.inputs
    fixed = tuple(torch.zeros(1, t.channels, *(t.size or network.size)) for t in inputs)
    example = examples(network.spec) if program.dynamic else fixed
    found: dict[str, nn.Module | str] = {}
    for layer in track(list(weighted), "Pruning layers"):
        found |= pruned_alone(network.module, example, [layer], ratio)
    return found
