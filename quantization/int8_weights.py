"""INT8 weights adapted by training: their file format, and the programs made from them.

A file holds the parameters of the equalised program. INT8 weights are stored as codes with one
scale for each output channel, all other parameters as float32. The file's metadata holds the
ranges of all activations. A program made from the file has exactly the codes that were trained,
because nothing is calibrated again.
"""

from __future__ import annotations

import contextlib
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
from edgeexpo.failures import reading
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
"""Suffix of a tensor that holds the scales of the weight of the same name."""

SHOWN = 3
"""Number of names that a message shows."""

INT8_FORMAT = "edgeexpo-int8-1"
"""Format name in the metadata of every INT8 weight file."""


@dataclass(frozen=True)
class Trained:
    """The contents of an INT8 weight file.

    Attributes:
        parameters: Parameter name -> float32 values. INT8 weights lie exactly on their codes.
        ranges: Tensor name -> range of the activation.
        facts: Facts about the network and its training: ``preset``, ``method``, ``float_sha256``
            and so on.
    """

    parameters: Mapping[str, Tensor]
    ranges: Mapping[str, Range]
    facts: Mapping[str, Any]


def write_int8_weights(path: Path, simulated: GraphModule, facts: Mapping[str, Any]) -> None:
    """Write the weights and ranges of a trained graph with fake quantisation.

    Args:
        path: Path of the ``.safetensors`` file.
        simulated: The trained graph (:func:`edgeexpo.quantization.simulation.simulate`).
        facts: Facts to store as JSON (see :class:`Trained`).

    Raises:
        OutputError: The file cannot be written.
    """
    from safetensors.torch import save

    codes = dict(_weight_roundings(simulated))
    state: dict[str, Tensor] = {}
    for name, value in _read_parameters(simulated).items():
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
    """Return true if ``path`` is a file that :func:`write_int8_weights` wrote."""
    return path.suffix == ".safetensors" and path.is_file() and _metadata(path) is not None


def read_facts(path: Path) -> Mapping[str, Any]:
    """Read the facts of an INT8 weight file, without its tensors.

    Raises:
        WeightsError: The file is not one that :func:`write_int8_weights` wrote.
    """
    metadata = _known(path)
    with _reading(path):
        return dict(json.loads(metadata["facts"]))


def read_int8_weights(path: Path) -> Trained:
    """Read an INT8 weight file.

    Raises:
        WeightsError: The file is not one that :func:`write_int8_weights` wrote.
    """
    from safetensors.torch import load_file

    metadata = _known(path)
    with _reading(path):
        stored = load_file(path)
        parameters = {
            name: value.float() * stored[name + SCALE] if name + SCALE in stored else value
            for name, value in stored.items()
            if not name.endswith(SCALE)
        }
        ranges, facts = ranges_from_json(metadata["ranges"]), dict(json.loads(metadata["facts"]))
    return Trained(parameters, ranges, facts)


def quantized_by(program: Program, trained: Trained) -> Program:
    """Return the INT8 program of trained weights.

    Args:
        program: A float program of the network. Its weights do not matter.
        trained: The trained weights and ranges.

    Raises:
        WeightsError: The weights or ranges belong to another network.
        ExportError: The network has no operator that can be quantised.
    """
    return convert_program(*_prepared_by(program, trained))


def simulated_by(program: Program, trained: Trained) -> GraphModule:
    """Return the program of trained weights with fake quantisation, for further training.

    Arguments and errors are those of :func:`quantized_by`, without ``ExportError``.
    """
    _, prepared = _prepared_by(program, trained)
    simulate(prepared)
    return prepared


def mismatch(program: Program, trained: Trained) -> str | None:
    """Say how trained weights differ in names and shapes from those of a float program.

    Returns:
        What was found, what was expected and the way out. ``None`` if the weights fit.
    """
    return _mismatch(_read_parameters(separate(program).exported.module()), trained)


def _read_parameters(graph: Any) -> dict[str, Tensor]:
    """Return the parameters that a graph reads, by the names under which it reads them.

    A user's module may hold others, or one parameter under several names.
    """
    own = dict(graph.named_parameters(remove_duplicate=False))
    read = dict.fromkeys(str(n.target) for n in graph.graph.nodes if n.op == "get_attr" and n.users)
    return {name: own[name] for name in read if name in own}


def _mismatch(own: Mapping[str, Tensor], trained: Trained) -> str | None:
    given = trained.parameters
    made = f"INT8 weights of {trained.facts.get('preset', 'another network')}"
    parts = [
        f"{len(names)} {word} ({', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''})"
        for word, names in (
            ("missing", [name for name in own if name not in given]),
            ("unknown", sorted(name for name in given if name not in own)),
        )
        if names
    ]
    if parts:
        return f"{made} with {' and '.join(parts)}; expected those of this network"
    other = [name for name, value in given.items() if value.shape != own[name].shape]
    if not other:
        return None
    first = min(other, key=list(own).index)
    shapes = [tuple(tensors[first].shape) for tensors in (given, own)]
    if all(given[n].numel() <= own[n].numel() for n in other):
        return (
            f"{made} that was pruned, {first} is {shapes[0]} instead of {shapes[1]}; give the "
            "pruned `weights` that they were made from"
        )
    if all(given[n].numel() >= own[n].numel() for n in other):
        return (
            f"{made} that was not pruned, {first} is {shapes[0]} instead of {shapes[1]}; give the "
            "`weights` that they were made from, or quantize the pruned network"
        )
    return f"{made} in which {first} is {shapes[0]}; expected {shapes[1]}"


def _prepared_by(program: Program, trained: Trained) -> tuple[Program, GraphModule]:
    module = separate(program).exported.module()
    if found := _mismatch(_read_parameters(module), trained):
        raise WeightsError(f"the INT8 weights do not fit the network that is exported: {found}")
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
    """Return the name of the parameter whose observer ``node`` calls."""
    source = node.args[0]
    assert isinstance(source, Node)
    assert source.op == "get_attr"
    return str(source.target)


def _reading(path: Path) -> contextlib.AbstractContextManager[None]:
    return reading(
        path, WeightsError, "holds damaged INT8 weights", "run 'edgeexpo quantize' again"
    )


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
