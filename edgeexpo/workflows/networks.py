"""From what a user names to a module that can be captured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from edgeexpo.bundle.files import digest
from edgeexpo.errors import UsageError, WeightsError
from edgeexpo.models import foreign, zoo
from edgeexpo.models.deployable import deployable
from edgeexpo.models.pruned_weights import load_checkpoint
from edgeexpo.models.weights import load_weights, read_weights
from edgeexpo.models.zoo import ModelEntry
from edgeexpo.program.capture import Program, capture
from edgeexpo.quantization import int8_weights
from edgeexpo.spec import ModelSpec

DEFAULT_SIDE = 512
"""Default height and width of artefacts of a network that says none."""


@dataclass(frozen=True)
class Network:
    """A module with its spec and size, ready to be captured.

    Attributes:
        module: In its deployable form, with its weights.
        spec: Tensors and stages.
        size: Largest (height, width) of its artefacts, pixels.
        weights: The float weights' file, where there is one.
        preset: Name in the zoo; ``None`` for a foreign module.
        int8: INT8 weights made for these float weights (:mod:`edgeexpo.quantization.int8_weights`).
    """

    module: torch.nn.Module
    spec: ModelSpec
    size: tuple[int, int]
    weights: Path | None
    preset: str | None = None
    int8: Path | None = None

    def capture(self) -> Program:
        """The module as a program of at most ``size``.

        Raises:
            ModuleError: ``forward`` fails or cannot be traced.
        """
        spec = self.spec
        return capture(self.module, spec.inputs, spec.outputs, self.size, spec.multiple)


def open_network(
    model: str,
    size: tuple[int, int] | None,
    weights: str | os.PathLike[str] | None,
    inputs: Sequence[str],
    int8: Path | None = None,
) -> Network:
    """The network that a user means, with its weights.

    Args:
        model: A name of the zoo, or ``path/to/net.py:factory``.
        size: Largest (height, width) in pixels, for networks of the zoo.
        weights: A checkpoint; the shipped weights by default.
        inputs: ``NAME=1x3xHxW`` for every input of a foreign module.
        int8: INT8 weights made from the float ones; those that ship with them by default.

    Raises:
        UsageError: Bad arguments, weights or module.
        WeightsError: ``int8`` was made from other float weights.
    """
    given = None if weights is None else Path(weights)
    if foreign.is_foreign(model):
        if int8 is not None:
            raise UsageError("--int8 is for models of the zoo; a foreign module is calibrated")
        if not inputs:
            raise UsageError(f"{model} needs its inputs; give --input NAME=1x3xHxW for each")
        if size is not None:
            raise UsageError("--size is for models of the zoo; a foreign module takes --input")
        module = foreign.load_factory(model)
        if given is not None:
            load_weights(module, read_weights(given), str(given))
        spec, side = foreign.describe_module(
            module, model, [foreign.parse_input(i) for i in inputs]
        )
        return Network(module, spec, side, given)
    if inputs:
        raise UsageError(f"--input is for foreign modules; {model} takes --size H,W")
    entry, module, path = loaded(model, given)
    longest = entry.spec.longest or DEFAULT_SIDE
    return Network(
        deployable(module),
        entry.spec,
        size or (longest, longest),
        path,
        entry.name,
        entry.int8 if given is None and int8 is None else _made_from(int8, path),
    )


def loaded(name: str, weights: Path | None) -> tuple[ModelEntry, torch.nn.Module, Path]:
    """A network of the zoo as it is trained, with weights: its entry, the module, their file.

    Args:
        name: A name of the zoo.
        weights: A checkpoint, perhaps pruned; the shipped one by default.

    Raises:
        UsageError: No network has this name, or it ships without weights and none were given.
        WeightsError: The checkpoint does not fit.
    """
    entry = zoo.get(name)
    path = weights or entry.weights
    if path is None:
        raise UsageError(f"{entry.name} ships without weights; give --weights, or train it first")
    module = entry.build()
    load_checkpoint(module, path, entry.name)
    return entry, module, path


def _made_from(int8: Path | None, weights: Path) -> Path | None:
    if int8 is not None and int8_weights.read_facts(int8).get("float_sha256") != digest(weights):
        raise WeightsError(
            f"{int8} was made from other float weights than {weights}; "
            "quantize those, or give the matching --weights"
        )
    return int8
