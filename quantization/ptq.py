"""Post-training quantisation: one float program and some pictures in, one integer program out."""

from __future__ import annotations

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


def quantize_program(
    program: Program,
    calibration: Iterable[Mapping[str, np.ndarray]],
    keep_float: frozenset[str] = frozenset(),
) -> Program:
    """Quantise weights and activations of ``program`` to INT8 by calibration (PT2E).

    Channels are equalised first (:mod:`edgeexpo.quantization.equalization`). Weights: symmetric,
    per output channel. Activations: affine, per tensor, static, from the histograms that the
    calibration inputs leave. The exact tail stays in float.

    Args:
        program: The float program; it is not changed.
        calibration: Network inputs by name, each HxWxC float32, of any size the program accepts.
        keep_float: Operators (nodes of the program) that stay in float.

    Returns:
        The one program that every INT8 artefact is lowered from.

    Raises:
        UsageError: No calibration input, one that is not finite, or an unknown operator.
        ExportError: The network has nothing that can be quantised.
    """
    program, prepared = calibrated(program, calibration, keep_float)
    return convert_program(program, prepared)


def calibrated(
    program: Program,
    calibration: Iterable[Mapping[str, np.ndarray]],
    keep_float: frozenset[str] = frozenset(),
    observer: str = DEFAULT,
    strength: float | None = STRENGTH,
) -> tuple[Program, GraphModule]:
    """The equalised float program, and its graph with observers that have seen the pictures.

    Args:
        program: The float program; it is not changed.
        calibration: Network inputs by name, each HxWxC float32.
        keep_float: Operators of the equalised program that stay in float.
        observer: Name in :data:`edgeexpo.quantization.observers.OBSERVERS`.
        strength: How much of a channel's range equalisation moves to its readers; ``None`` for
            channels as they are.

    Raises:
        UsageError: No calibration input, one that is not finite or makes something that is not, or
            an unknown operator.
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
    """``program`` with weights of their own for every operator that has weights."""
    module = program.exported.module()
    unshare(module)
    return recapture(program, module, program.precision)


def convert_program(program: Program, prepared: GraphModule) -> Program:
    """Make the rounding of a calibrated graph permanent.

    Raises:
        ExportError: The network has nothing that can be quantised.
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        module = convert_pt2e(prepared)
    if not is_quantized(module):
        raise ExportError(
            "the network has no operator that can run in INT8; export it with `precision='fp32'`"
        )
    _give_scalars_an_axis(module)
    return recapture(program, module, "int8")


def _check_finite(program: Program, pictures: list[tuple[torch.Tensor, ...]]) -> None:
    """Raise :class:`UsageError` naming the first layer whose values are not finite."""
    watched = _Watched(program.exported.module())
    for index, picture in enumerate(pictures):
        watched.run(*picture)
        if watched.wrong is not None:
            raise UsageError(
                f"{watched.wrong} gives NaN or infinite values on calibration picture {index + 1}; "
                "expected finite ones: check the weights, or calibrate on other pictures"
            )


class _Watched(Interpreter):
    """Runs a program and names the first node whose result is not finite."""

    wrong: str | None = None

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        finite = not isinstance(result, torch.Tensor) or bool(torch.isfinite(result).all())
        if self.wrong is None and not finite:
            inner = [path for path, _ in (n.meta.get("nn_module_stack") or {}).values() if path]
            self.wrong = f"layer {inner[-1]} ({n.name})" if inner else str(n.target)
        return result


def tensors(
    program: Program, pictures: Iterable[Mapping[str, np.ndarray]]
) -> list[tuple[torch.Tensor, ...]]:
    """Pictures as inputs of ``program``, NCHW.

    Raises:
        UsageError: There is none, or one is not finite.
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
    """Make frozen rank-0 constants rank 1.

    coremltools 9.0 dequantises rank-0 INT8 constants in INT8 arithmetic, where 127 - (-128) wraps
    to -1: the conversion reports success and the network is wrong. Rank 1 is handled correctly and
    means the same to every other target.
    """
    for owner in module.modules():
        for name, buffer in list(owner._buffers.items()):
            if buffer is not None and buffer.dim() == 0:
                owner._buffers[name] = buffer.reshape(1)
