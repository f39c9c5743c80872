"""Faults in one layer of a saved artefact, which the localisation has to find.

The rest of the artefact is unchanged. :func:`plant` damages one layer of a file of any target;
:data:`WEIGHT_FAULTS` lists the possible faults.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from edgeexpo import targets
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import UsageError
from edgeexpo.targets import resolve, target_named


class Layers(Protocol):
    """The convolutions of an opened artefact, counted in the order of computation."""

    count: int

    def __init__(self, path: Path) -> None:
        """Read the artefact."""

    def weight(self, layer: int) -> np.ndarray:
        """Return the stored weights (real numbers or codes), output x input x height x width."""

    def set_weight(self, layer: int, value: np.ndarray) -> None:
        """Store other weights of the same shape."""

    def bias(self, layer: int) -> np.ndarray:
        """Return the stored bias, one number per output channel."""

    def set_bias(self, layer: int, value: np.ndarray) -> None:
        """Store another bias of the same shape."""

    def change_grid(self, layer: int, factor: float, steps: int) -> None:
        """Change the scale and zero point with which a layer's result is dequantised.

        Args:
            layer: Number of the layer.
            factor: Factor of the scale.
            steps: Codes to add to the zero point.
        """

    def drop_activation(self, layer: int) -> None:
        """Remove the ReLU that follows a layer."""

    def move_padding(self, layer: int) -> None:
        """Pad one more row and column before the picture, and one less after it."""

    def save(self, path: Path) -> None:
        """Write the artefact."""


WeightFault = Callable[[Layers, int], None]
"""Function that damages a layer of an opened artefact, given the layer's number."""


def open_layers(target: str, path: Path) -> Layers:
    """Open an artefact for planting.

    Args:
        target: One of :data:`edgeexpo.targets.TARGETS`.
        path: The artefact; it is not changed.

    Raises:
        UsageError: Nobody plants faults in this target's artefacts.
    """
    editor = target_named(target).fault_editor
    if editor is None:
        known = [name for name, record in targets.TARGETS.items() if record.fault_editor]
        raise UsageError(f"faults are planted in {', '.join(known)} artefacts, not in {target}")
    layers: Layers = resolve(editor)(path)
    return layers


def plant(bundle: Bundle, artifact: Artifact, fault: str, layer: int, folder: Path) -> Bundle:
    """Write a bundle with one damaged artefact and return it; its manifest has the new digest.

    Args:
        bundle: The bundle; its programs are copied.
        artifact: The artefact to damage.
        fault: Name in :data:`WEIGHT_FAULTS`.
        layer: Convolution to damage, counted in the order of computation.
        folder: An existing, empty folder.

    Raises:
        UsageError: The layer has no place for the fault.
    """
    layers = open_layers(artifact.target, bundle.file(artifact.file))
    WEIGHT_FAULTS[fault](layers, layer)
    damaged = folder / artifact.file
    layers.save(damaged)
    for file in bundle.manifest.files:
        if file.endswith(".pt2"):
            shutil.copyfile(bundle.file(file), folder / file)
    fresh = dataclasses.replace(artifact, sha256=digest(damaged))
    return Bundle(folder, dataclasses.replace(bundle.manifest, artifacts=(fresh,)))


def _of_weight(change: Callable[[np.ndarray], np.ndarray]) -> WeightFault:
    def change_layer(layers: Layers, layer: int) -> None:
        layers.set_weight(layer, change(layers.weight(layer)))

    return change_layer


def _of_bias(change: Callable[[np.ndarray], np.ndarray]) -> WeightFault:
    def change_layer(layers: Layers, layer: int) -> None:
        layers.set_bias(layer, change(layers.bias(layer)))

    return change_layer


def _swapped(value: np.ndarray, axis: int) -> np.ndarray:
    order = np.arange(value.shape[axis])
    order[[0, 1]] = 1, 0
    return np.take(value, order, axis)


def _one_changed(value: np.ndarray) -> np.ndarray:
    """Return weights with the sign of the largest weight of the first channel changed."""
    changed = value.copy()
    place = np.unravel_index(np.abs(value[0].astype(np.float64)).argmax(), value[0].shape)
    changed[0][place] = -np.clip(value[0][place].astype(np.float64), -127, 127)  # codes end at 127
    return changed


def _swap_outputs(layers: Layers, layer: int) -> None:
    layers.set_weight(layer, _swapped(layers.weight(layer), 0))
    layers.set_bias(layer, _swapped(layers.bias(layer), 0))


def _one_bias(value: np.ndarray) -> np.ndarray:
    changed = value.copy()
    changed[0] = value[0] + value.dtype.type(2 * np.abs(value.astype(np.float64)).max())
    return changed


WEIGHT_FAULTS: Mapping[str, WeightFault] = {
    "one weight's sign": _of_weight(_one_changed),
    "one output channel's weights": _of_weight(
        lambda w: np.concatenate([w[:1, :, ::-1, ::-1], w[1:]])
    ),
    "output channels swapped": _swap_outputs,
    "input channels swapped": _of_weight(lambda w: _swapped(w, 1)),
    "kernel transposed": _of_weight(lambda w: w.swapaxes(2, 3)),
    "kernel mirrored": _of_weight(lambda w: w[..., ::-1]),
    "weights scaled by 0.9": _of_weight(lambda w: (w.astype(np.float64) * 0.9).astype(w.dtype)),
    "bias dropped": _of_bias(np.zeros_like),
    "one bias": _of_bias(_one_bias),
    "padding moved": lambda layers, layer: layers.move_padding(layer),
    "activation dropped": lambda layers, layer: layers.drop_activation(layer),
    "scale off by 5 %": lambda layers, layer: layers.change_grid(layer, 1.05, 0),
    "zero point off by 4": lambda layers, layer: layers.change_grid(layer, 1.0, 4),
}
"""Faults of a layer by name; they raise :class:`UsageError` if the layer has no place for them."""

INTEGER_ONLY = frozenset(("scale off by 5 %", "zero point off by 4"))
"""Names of the faults that only INT8 artefacts can have."""

FLOAT_ONLY = frozenset(("activation dropped",))
"""Names of the faults that only float artefacts can have.

In INT8 the quantiser clips as well, so a missing ReLU changes nothing.
"""
