"""NNCF's calibration and fast bias correction, taken over into our own simulated program."""

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
    """The simulated program with the ranges and the corrected biases that NNCF finds.

    NNCF 3.4 ``quantize_pt2e`` annotates with the same quantiser, so both graphs round the same
    tensors; weights get the scales that their own largest values give, in both.
    NNCF's SmoothQuant is not asked for: it multiplies activations by operators of its own, whose
    results are rounded too; ``benchmarks/smoothquant.py`` says what that gains.

    Args:
        program: The float program; channels are equalised first.
        pictures: Inputs of the program, NCHW, batch size 1.

    Raises:
        ExportError: NNCF fails, or its graph rounds other tensors than ours.
        MissingDependencyError: NNCF is not installed.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        equal = equalize(separate(program), pictures)
        converted = quantized_by_nncf(equal, pictures)
        prepared = copy.deepcopy(prepare_simulation(equal))  # whose parameters are the program's
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
    """NNCF's own program, which rounds by our quantiser; ``options`` are ``quantize_pt2e``'s.

    Args:
        program: The float program.
        pictures: Its inputs, NCHW, batch size 1.

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
    """Range of every rounded activation by the name of its tensor."""
    calls = [node.args for node in converted.graph.nodes if str(node.target) == _QUANTIZE]
    return {tensor.name: Range(float(scale), int(zero)) for tensor, scale, zero, *_ in calls}


def _take_biases(prepared: GraphModule, converted: GraphModule) -> None:
    """Copy the biases of operators of the same name."""
    theirs = dict(_biases(converted))
    for name, bias in _biases(prepared):
        if name not in theirs or theirs[name].shape != bias.shape:
            raise ExportError(f"NNCF has no bias for {name}: it changed the program")
        bias.copy_(theirs[name])


def _biases(module: GraphModule) -> Iterator[tuple[str, Tensor]]:
    """(name of the operator, its bias) of every operator that has one."""
    run = Interpreter(module)
    for node in module.graph.nodes:
        source = node.args[2] if is_weighted(node) and len(node.args) > 2 else None
        if isinstance(source, Node) and source.op == "get_attr":
            yield node.name, run.get_attr(str(source.target), (), {}).data
