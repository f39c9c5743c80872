"""Calibration by NNCF: its ranges and fast bias correction, applied to a simulated program."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from edgeexpo.errors import ExportError, MissingDependencyError
from edgeexpo.program.capture import Program
from edgeexpo.program.exact_tail import is_weighted
from edgeexpo.quantization.equalization import equalize
from edgeexpo.quantization.ptq import separate
from edgeexpo.quantization.quantizer import ImageQuantizer
from edgeexpo.quantization.simulation import (
    Range,
    fix_ranges,
    observers,
    prepare_simulation,
    simulate,
)
from edgeexpo.silence import quiet

_QUANTIZE = "quantized_decomposed.quantize_per_tensor.default"


def calibrated_by_nncf(program: Program, pictures: Sequence[tuple[Tensor, ...]]) -> GraphModule:
    """Return the simulated program with NNCF's ranges and corrected biases.

    NNCF 3.4's ``quantize_pt2e`` annotates with :class:`ImageQuantizer`, so its graph rounds the
    same tensors as ours. In both, the scale of a weight channel follows from its largest value.

    NNCF's SmoothQuant is not used. It adds operators that multiply activations, and their results
    are rounded too. ``benchmarks/smoothquant.py`` measures what that gains.

    Args:
        program: The float program. Its channels are equalised first.
        pictures: Inputs of the program, 1xCxHxW each.

    Raises:
        ExportError: NNCF fails, or its graph rounds other tensors or has other biases than ours.
        MissingDependencyError: NNCF is not installed.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        equal = equalize(separate(program), pictures)
        converted = quantized_by_nncf(equal, pictures)
        prepared = copy.deepcopy(prepare_simulation(equal))  # because it shares equal's parameters
        ranges = _ranges(converted)
        rounded = {
            name: name.partition(":")[0]
            for name, node in observers(prepared)
            if not hasattr(prepared.get_submodule(str(node.target)), "ch_axis")
        }
        if other := sorted(set(rounded.values()) ^ ranges.keys()):
            raise ExportError(
                f"NNCF rounds other tensors than this program: {len(other)} differ, "
                f"{other[0]} first"
            )
        fix_ranges(prepared, {name: ranges[tensor] for name, tensor in rounded.items()})
        _take_biases(prepared, converted)
        simulate(prepared)
    return prepared


def quantized_by_nncf(
    program: Program, pictures: Sequence[tuple[Tensor, ...]], **options: Any
) -> GraphModule:
    """Return NNCF's quantised program, annotated by :class:`ImageQuantizer`.

    Args:
        program: The float program.
        pictures: Inputs of the program, 1xCxHxW each.
        options: Further options of NNCF's ``quantize_pt2e``.

    Raises:
        ExportError: NNCF fails.
        MissingDependencyError: NNCF is not installed.
    """
    try:
        import nncf
        from nncf.experimental.torch.fx import quantize_pt2e
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "the nncf variant needs nncf; pip install 'edgeexpo[export]'"
        ) from error

    def fed(picture: tuple[Tensor, ...]) -> Any:
        return picture if len(picture) > 1 else picture[0]

    errors = (nncf.ValidationError, nncf.InternalError, nncf.UnsupportedModelError)
    try:
        with quiet():
            return cast(
                GraphModule,
                quantize_pt2e(
                    program.exported.module(),
                    ImageQuantizer(),
                    nncf.Dataset(list(pictures), fed),
                    fold_quantize=False,
                    **options,
                ),
            )
    except (*errors, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExportError(f"NNCF cannot calibrate this network: {first[:160]}") from error


def _ranges(converted: GraphModule) -> dict[str, Range]:
    """Return tensor name -> range of every rounded activation."""
    calls = [node.args for node in converted.graph.nodes if str(node.target) == _QUANTIZE]
    return {tensor.name: Range(float(scale), int(zero)) for tensor, scale, zero, *_ in calls}


def _take_biases(prepared: GraphModule, converted: GraphModule) -> None:
    """Copy the biases of ``converted`` to the operators of the same name in ``prepared``."""
    theirs = dict(_biases(converted))
    for name, bias in _biases(prepared):
        if name not in theirs or theirs[name].shape != bias.shape:
            raise ExportError(f"NNCF has no bias for {name}: it changed the program")
        bias.copy_(theirs[name])


def _biases(module: GraphModule) -> Iterator[tuple[str, Tensor]]:
    """Yield (name of the operator, bias) for every weighted operator with a bias."""
    run = Interpreter(module)
    for node in module.graph.nodes:
        source = node.args[2] if is_weighted(node) and len(node.args) > 2 else None
        if isinstance(source, Node) and source.op == "get_attr":
            yield node.name, run.get_attr(str(source.target), (), {}).data
