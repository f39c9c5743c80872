"""A network's inputs for the embedded photographs, in a file that other processes read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeexpo.spec import ModelSpec

Inputs = dict[str, dict[str, np.ndarray]]
"""Inputs 1xCxHxW float32, by photograph and name."""


def write_inputs(spec: ModelSpec, size: tuple[int, int], path: Path) -> None:
    """Write a network's inputs for the embedded photographs, at most (height, width) large."""
    from safetensors.numpy import save_file

    from edgeexpo.imaging.samples import samples
    from edgeexpo.runtime.network_pictures import network_inputs

    arrays = {}
    for sample in samples(len(spec.frames), None, spec.frame_size(size)):
        (inputs,) = network_inputs(spec, [sample])
        for name, value in inputs.items():
            arrays[f"{sample.name}/{name}"] = np.ascontiguousarray(value.transpose(2, 0, 1)[None])
    save_file(arrays, path)


def read_inputs(path: Path) -> Inputs:
    """Return the inputs that :func:`write_inputs` wrote."""
    from safetensors.numpy import load_file

    found: Inputs = {}
    for key, value in load_file(path).items():
        photograph, _, name = key.rpartition("/")
        found.setdefault(photograph, {})[name] = value
    return found
