"""INT8 weights that training has adapted: a file, and the program it makes of a network.

A file holds the float parameters of the equalised program, those of INT8 weights as codes with a
scale for each output channel, and in its metadata the ranges of all activations. Made into a
program again, it gives the very codes that were trained: nothing is calibrated.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from edgeexpo.errors import WeightsError
from edgeexpo.program.capture import Program, recapture
from edgeexpo.quantization.ptq import convert_program, separate
from edgeexpo.quantization.simulation import (
    Range,
    Rounding,
    fix_ranges,
    observers,
    prepare_simulation,
    ranges_from_json,
    ranges_to_json,
    roundings,
    simulate,
    weight_codes,
)
from edgeexpo.writing import write_file

SCALE = ".scale"
INT8_FORMAT = "edgeexpo-int8-1"


@dataclass(frozen=True)
class Trained:
    """Parameters by name and ranges of activations by the name of their tensor.

    ``facts`` says what they are of: ``preset``, ``method``, ``float_sha256`` and so on.
    """

    parameters: Mapping[str, Tensor]
    ranges: Mapping[str, Range]
    facts: Mapping[str, Any]


def write_int8_weights(path: Path, simulated: GraphModule, facts: Mapping[str, Any]) -> None:
    """Write what a simulated, trained graph has learnt.

    Raises:
        OutputError: The file cannot be written.
    """
    from safetensors.torch import save

    codes = dict(_weight_roundings(simulated))
    state: dict[str, Tensor] = {}
    for name, value in simulated.named_parameters():
        weight = value.detach().float().contiguous()
        if name not in codes:
            state[name] = weight
            continue
        observer = codes[name].observer
        scale, zero_point = weight_codes(observer, weight)
        low, high, axis = observer.quant_min, observer.quant_max, observer.ch_axis
        state[name] = torch.ops.quantized_decomposed.quantize_per_channel(
            weight, scale, zero_point, axis, low, high, torch.int8
        )
        shape = [1] * weight.dim()
        shape[axis] = -1
        state[name + SCALE] = scale.reshape(shape).float()
    metadata = {
        "format": INT8_FORMAT,
        "ranges": ranges_to_json(simulated),
        "facts": json.dumps(dict(facts), sort_keys=True),
    }
    write_file(path, save(state, metadata))


def is_trained(path: Path) -> bool:
    """True for a file of :func:`write_int8_weights`."""
    return path.suffix == ".safetensors" and path.is_file() and _metadata(path) is not None


def read_facts(path: Path) -> Mapping[str, Any]:
    """What a file of :func:`write_int8_weights` says it is, without its tensors.

    Raises:
        WeightsError: It is not one.
    """
    facts: Mapping[str, Any] = json.loads(_known(path)["facts"])
    return facts


def read_int8_weights(path: Path) -> Trained:
    """Read a file of :func:`write_int8_weights`.

    Raises:
        WeightsError: It is not one.
    """
    from safetensors.torch import load_file

    metadata = _known(path)
    stored = load_file(path)
    parameters = {
        name: value.float() * stored[name + SCALE] if name + SCALE in stored else value
        for name, value in stored.items()
        if not name.endswith(SCALE)
    }
    return Trained(parameters, ranges_from_json(metadata["ranges"]), json.loads(metadata["facts"]))


def quantized_by(program: Program, trained: Trained) -> Program:
    """The INT8 program of trained weights.

    Args:
        program: A float program of the network; only its structure counts.
        trained: What was learnt.

    Raises:
        WeightsError: The weights are of another network.
    """
    return convert_program(*_prepared_by(program, trained))


def simulated_by(program: Program, trained: Trained) -> GraphModule:
    """The simulated program of trained weights, to be trained further; see :func:`quantized_by`."""
    _, prepared = _prepared_by(program, trained)
    simulate(prepared)
    return prepared


def _prepared_by(program: Program, trained: Trained) -> tuple[Program, GraphModule]:
    module = separate(program).exported.module()
    own = dict(module.named_parameters())
    if own.keys() != trained.parameters.keys() or any(
        own[name].shape != value.shape for name, value in trained.parameters.items()
    ):
        raise WeightsError(
            f"the INT8 weights are of {trained.facts.get('preset', 'another network')}; expected "
            "those of the network that is exported"
        )
    for name, value in trained.parameters.items():
        owner, _, leaf = name.rpartition(".")
        copy = torch.nn.Parameter(value.clone(), requires_grad=False)
        setattr(module.get_submodule(owner), leaf, copy)
    adapted = recapture(program, module, program.precision)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        prepared = prepare_simulation(adapted)
        fix_ranges(prepared, trained.ranges)
        for _, node in observers(prepared):
            observer = prepared.get_submodule(str(node.target))
            if hasattr(observer, "ch_axis"):
                weight_codes(observer, prepared.get_parameter(_parameter(node)))
    return adapted, prepared


def _weight_roundings(simulated: GraphModule) -> Iterator[tuple[str, Rounding]]:
    found = roundings(simulated)
    for name, node in observers(simulated):
        if found[name].is_weight:
            yield _parameter(node), found[name]


def _parameter(node: Node) -> str:
    """Name of the parameter whose observer ``node`` calls."""
    source = node.args[0]
    assert isinstance(source, Node)
    assert source.op == "get_attr"
    return str(source.target)


def _known(path: Path) -> Mapping[str, str]:
    metadata = _metadata(path)
    if metadata is None:
        raise WeightsError(f"{path} holds no INT8 weights; expected what 'edgeexpo quantize' wrote")
    return metadata


def _metadata(path: Path) -> Mapping[str, str] | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError):
        return None
    return metadata if metadata.get("format") == INT8_FORMAT else None
