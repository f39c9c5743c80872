"""Programs of a network with its stages inside, which take frames and give the picture."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

import torch

from edgeexpo.errors import UsageError
from edgeexpo.export.standalone.graph import Standalone, check_stages
from edgeexpo.program.capture import Program, example_inputs
from edgeexpo.program.stages import stage
from edgeexpo.spec import ModelSpec, SizeRange, TensorSpec
from edgeexpo.targets import target_named, target_names

PICTURE = "picture_out"
"""Name of the output of a graph that holds its stages."""

_ADVICE = "leave out `standalone`, and report this"


MOST_PIXELS, LEAST_SIDE = 16_777_216, 64
"""Largest number of pixels and smallest side of the frames of a graph that holds its stages."""


def check_standalone(spec: ModelSpec, size: tuple[int, int], targets: Sequence[str]) -> None:
    """Check that the stages of a network can be put into one graph for frames of a size.

    Args:
        spec: The network and its stages.
        size: Height and width of the frames in pixels.
        targets: Names of the targets.

    Raises:
        UsageError: A target takes no such graphs, the size is too small or too large, or a stage
            has no form as one graph.
    """
    for target in targets:
        if not target_named(target).holds_stages:
            able = ", ".join(name for name in target_names() if target_named(name).holds_stages)
            raise UsageError(
                f"{target} takes no graph with its stages; expected a `target` of {able}, or leave "
                "out `standalone`"
            )
    height, width = size
    if min(size) < LEAST_SIDE or height * width > MOST_PIXELS:
        raise UsageError(
            f"`standalone` is {height}x{width}; expected sides of {LEAST_SIDE} pixels or more, and "
            f"at most {MOST_PIXELS / 1e6:.0f} million pixels"
        )
    check_stages(spec)


def standalone_spec(spec: ModelSpec, size: tuple[int, int]) -> ModelSpec:
    """Return the spec of the graph that holds the stages of a network.

    Its inputs are the frames and its output is the picture: HxWx3 uint8, sRGB-encoded RGB.

    Args:
        spec: The network and its stages.
        size: Height and width of the frames in pixels.
    """

    def frame(name: str) -> TensorSpec:
        return TensorSpec(name, axes="HWC", dtype="uint8", size=size)

    return dataclasses.replace(
        spec,
        inputs=tuple(frame(name) for name in spec.frames),
        outputs=(frame(PICTURE),),
        halo=None,
        multiple=1,
        extends=False,
        grid=0,
        ragged=False,
        longest=None,
        residual=None,
        front=None,
        back=None,
    )


def standalone_program(program: Program, spec: ModelSpec, size: tuple[int, int]) -> Program:
    """Return the program of a network with its stages inside.

    Args:
        program: The program of the network, at any precision. The stages compute in float32.
        spec: The network and its stages, which :func:`check_standalone` accepted.
        size: Height and width of the frames in pixels.

    Raises:
        ExportError: The graph cannot be traced.
    """
    whole = standalone_spec(spec, size)
    with stage("joining the network and its stages", _ADVICE, program.exported.graph_module):
        network = program.exported.module(check_guards=False)
        module = Standalone(network, spec, size, program.sizes)
        joined = Program(
            program.exported,
            whole.inputs,
            tuple(t.name for t in whole.outputs),
            SizeRange(largest=size, smallest=size),
            program.precision,
        )
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            exported = torch.export.export(module, example_inputs(joined, size))
    return dataclasses.replace(joined, exported=exported)
