"""Post-training quantisation: a float program and calibration pictures make an INT8 program."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule, Interpreter, Node

from edgeexpo.errors import ExportError, UsageError
from edgeexpo.program.capture import Program, recapture
from edgeexpo.program.exact_tail import is_weighted, unshare
from edgeexpo.program.tensors import picture_tensor
from edgeexpo.quantization.equalization import STRENGTH, equalize
from edgeexpo.quantization.observers import DEFAULT
from edgeexpo.quantization.quantizer import is_quantized
from edgeexpo.quantization.simulation import prepare_simulation
from edgeexpo.replaced import replaced


def quantize_program(
    program: Program,
    calibration: Iterable[Mapping[str, np.ndarray]],
    keep_float: frozenset[str] = frozenset(),
    strength: float | None = STRENGTH,
) -> Program:
    """Quantise weights and activations of ``program`` to INT8 by calibration (PT2E).

    Channels are equalised first (:mod:`edgeexpo.quantization.equalization`). Weights are symmetric
    with one scale for each output channel. Activations are affine with one static range for each
    tensor, from the histograms of the calibration inputs. The exact tail stays in float.

    Args:
        program: The float program. It is not changed.
        calibration: Pictures: input name -> HxWxC float32, of any size that the program accepts.
        keep_float: Names of operators (nodes of the program) that stay in float.
        strength: Migration strength of the equalisation, from 0 to 1. ``None`` leaves the channels
            unchanged.

    Returns:
        The one program that every INT8 artefact is lowered from.

    Raises:
        UsageError: There is no calibration picture, a value is not finite, or an operator of
            ``keep_float`` is unknown.
        ExportError: The network has no operator that can be quantised.
    """
    program, prepared = calibrated(program, calibration, keep_float, strength=strength)
    return convert_program(program, prepared)


def calibrated(
    program: Program,
    calibration: Iterable[Mapping[str, np.ndarray]],
    keep_float: frozenset[str] = frozenset(),
    observer: str = DEFAULT,
    strength: float | None = STRENGTH,
) -> tuple[Program, GraphModule]:
    """Return the equalised float program, and its graph with calibrated observers.

    Args:
        program: The float program. It is not changed.
        calibration: Pictures: input name -> HxWxC float32, of any size that the program accepts.
        keep_float: Names of operators of the equalised program that stay in float.
        observer: Name in :data:`edgeexpo.quantization.observers.OBSERVERS`.
        strength: Migration strength of the equalisation, from 0 to 1. ``None`` leaves the channels
            unchanged.

    Raises:
        UsageError: There is no calibration picture, a picture or a layer's result is not finite, or
            an operator of ``keep_float`` is unknown.
    """
    _check_operators(program, keep_float)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        pictures = tensors(program, calibration)
        _check_finite(program, pictures)
        own = separate(program)
        equal = own if strength is None else equalize(own, pictures, strength)
        prepared = prepare_simulation(equal, keep_float, observer)
        for picture in pictures:
            prepared(*picture)
    return equal, prepared


def _check_operators(program: Program, names: frozenset[str]) -> None:
    weighted = [n.name for n in program.exported.graph_module.graph.nodes if is_weighted(n)]
    if unknown := sorted(names - set(weighted)):
        raise UsageError(
            f"no operator {unknown[0]!r} in the network to be kept in float; expected some of "
            f"{', '.join(weighted)}"
        )


def separate(program: Program) -> Program:
    """Return ``program`` with its own copy of the weights for every weighted operator."""
    module = program.exported.module(check_guards=False)
    unshare(module)
    return recapture(program, module, program.precision)


def convert_program(program: Program, prepared: GraphModule) -> Program:
    """Convert a calibrated graph to an INT8 program.

    Args:
        program: The program that ``prepared`` was made from, for its names and sizes.
        prepared: The graph with calibrated observers or roundings.

    Raises:
        ExportError: The network has no operator that can be quantised.
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    with warnings.catch_warnings(), torch.no_grad(), _without_training_patterns():
        warnings.simplefilter("ignore")
        module = convert_pt2e(prepared)
    if not is_quantized(module):
        raise ExportError(
            "the network has no operator that can run in INT8; export it with `precision='fp32'`"
        )
    _give_scalars_an_axis(module)
    return recapture(program, module, "int8")


def _without_training_patterns() -> contextlib.AbstractContextManager[None]:
    """Spare the search for what torchao's own training prepares, which is never here.

    torchao 0.18 looks for convolutions with simulated batch normalisations wherever a graph has any
    batch normalisation. It traces its patterns anew each time, which takes most of a minute.
    """
    import torchao.quantization.pt2e.quantize_pt2e as torchao_convert

    return replaced(torchao_convert, "_fold_conv_bn_qat", lambda module: module)


def _check_finite(program: Program, pictures: list[tuple[torch.Tensor, ...]]) -> None:
    """Raise :class:`UsageError` that names the first layer whose result is not finite."""
    watched = _Watched(program.exported.module(check_guards=False))
    for index, picture in enumerate(pictures):
        watched.run(*picture)
        if watched.wrong is not None:
            raise UsageError(
                f"{watched.wrong} gives NaN or infinite values on calibration picture {index + 1}; "
                "expected finite ones: check the weights, or calibrate on other pictures"
            )


class _Watched(Interpreter):
    """An interpreter that names the first node whose result is not finite."""

    wrong: str | None = None
    """Name of that node's layer and of the node, or ``None`` if all results were finite."""

    def run_node(self, n: Node) -> Any:
        """Return the node's result, after a check that it is finite."""
        result = super().run_node(n)
        finite = not isinstance(result, torch.Tensor) or bool(torch.isfinite(result).all())
        if self.wrong is None and not finite:
            inner = [path for path, _ in (n.meta.get("nn_module_stack") or {}).values() if path]
            self.wrong = f"layer {inner[-1]} ({n.name})" if inner else str(n.target)
        return result


def tensors(
    program: Program, pictures: Iterable[Mapping[str, np.ndarray]]
) -> list[tuple[torch.Tensor, ...]]:
    """Return pictures (input name -> HxWxC) as inputs of ``program``, 1xCxHxW each.

    Raises:
        UsageError: There is no picture, or a picture is not finite.
    """
    given = [tuple(_tensor(n, inputs[n]) for n in program.inputs) for inputs in pictures]
    if not given:
        raise UsageError("calibration has no picture; expected at least one")
    return given


def _tensor(name: str, picture: np.ndarray) -> torch.Tensor:
    if not np.isfinite(picture).all():
        raise UsageError(f"calibration input {name!r} has NaN or infinite values")
    return picture_tensor(picture)


def _give_scalars_an_axis(module: torch.nn.Module) -> None:
    """Give frozen INT8 constants of rank 0 the rank 1.

    coremltools 9.0 dequantises INT8 constants of rank 0 in INT8 arithmetic, where 127 - (-128)
    wraps to -1. The conversion reports success, but the network is wrong. Constants of rank 1 are
    converted correctly and mean the same to every other target.
    """
    for owner in module.modules():
        for name, buffer in list(owner._buffers.items()):
            if buffer is not None and buffer.dim() == 0 and buffer.dtype == torch.int8:
                owner._buffers[name] = buffer.reshape(1)
