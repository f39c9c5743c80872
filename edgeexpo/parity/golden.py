"""Recorded references: golden inputs and outputs in a bundle. They need no torch."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest, staged
from edgeexpo.bundle.manifest import write_manifest
from edgeexpo.bundle.untrusted import read_json
from edgeexpo.errors import BundleError, MissingDependencyError
from edgeexpo.runtime.engines.base import Arrays
from edgeexpo.writing import write_file

GOLDEN_INPUTS, GOLDEN_OUTPUTS = "golden/inputs.safetensors", "golden/outputs.safetensors"
"""Files of a recorded reference inside a bundle."""

GOLDEN_DEVICE = "golden/device.json"
"""File inside a bundle that describes the device of a recorded reference."""


@dataclass(frozen=True)
class Device:
    """The device that computed a reference.

    Attributes:
        device: Kind of device, as torch names it (``cpu``, ``cuda``...).
        name: The device's own name.
        dtype: The dtype in which the program ran.
        details: Other facts that decide the numbers: versions, driver, flags.
    """

    device: str
    name: str
    dtype: str = "float32"
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Golden:
    """Recorded network inputs with the reference's outputs.

    Attributes:
        inputs: Network inputs, HxWxC float32, by sample and input name.
        outputs: Reference output, HxWxC float32, by sample name.
        device: The device that computed the outputs.
        probes: Names of the samples that are probes; the others are photographs.
    """

    inputs: Mapping[str, Arrays]
    outputs: Mapping[str, np.ndarray]
    device: Device
    probes: Collection[str] = ()


def write_golden(folder: Path, golden: Golden) -> dict[str, str]:
    """Write ``golden`` into a bundle's folder.

    Returns:
        SHA-256 by relative path, for the manifest.

    Raises:
        OutputError: A file cannot be written.
    """
    from safetensors.numpy import save

    (folder / "golden").mkdir(exist_ok=True)
    inputs = {
        f"{name}/{key}": np.ascontiguousarray(array)
        for name, sample in golden.inputs.items()
        for key, array in sample.items()
    }
    device = {**dataclasses.asdict(golden.device), "probes": sorted(golden.probes)}
    content = {
        GOLDEN_INPUTS: save(inputs),
        GOLDEN_OUTPUTS: save({k: np.ascontiguousarray(v) for k, v in golden.outputs.items()}),
        GOLDEN_DEVICE: json.dumps(device, indent=1).encode(),
    }
    for name, data in content.items():
        write_file(folder / name, data)
    return {name: digest(folder / name) for name in content}


def replace_golden(bundle: Bundle, golden: Golden) -> Bundle:
    """Write a bundle with ``golden`` in place of its own recording, in one step, and open it.

    Raises:
        OutputError: The bundle's folder, or its parent, cannot be written.
    """
    with staged(bundle.path, force=True) as staging:
        shutil.copytree(bundle.path, staging, dirs_exist_ok=True, copy_function=_link)
        files = write_golden(staging, golden)
        manifest = bundle.manifest
        write_manifest(staging, dataclasses.replace(manifest, files={**manifest.files, **files}))
    return Bundle.open(bundle.path)


def _link(source: str, destination: str) -> None:
    try:
        os.link(source, destination)
    except OSError:  # a file system without hard links
        shutil.copy2(source, destination)


def read_golden(bundle: Bundle) -> Golden:
    """Return the recording in a bundle.

    Raises:
        BundleError: The bundle has no recording, or the recording belongs to another model.
        MissingDependencyError: safetensors is not installed.
    """
    if GOLDEN_OUTPUTS not in bundle.manifest.files:
        raise BundleError(f"{bundle.path} has no golden outputs; use --reference cpu")
    outputs = _load(bundle, GOLDEN_OUTPUTS)
    inputs: dict[str, dict[str, np.ndarray]] = {}
    for key, value in _load(bundle, GOLDEN_INPUTS).items():
        sample, _, name = key.rpartition("/")
        inputs.setdefault(sample, {})[name] = value
    try:
        facts = read_json(bundle.file(GOLDEN_DEVICE))
        probes = facts.pop("probes", [])
        device = Device(**facts)
    except (ValueError, TypeError, AttributeError) as error:
        raise BundleError(
            f"{bundle.path / GOLDEN_DEVICE} does not describe a device ({error}); record it again "
            "with: edgeexpo parity BUNDLE --record"
        ) from error
    golden = Golden(inputs, outputs, device, probes)
    _check_model(bundle, golden)
    return golden


def _load(bundle: Bundle, file: str) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise MissingDependencyError(
            "golden pictures need safetensors, which is not installed; pip install safetensors"
        ) from error
    path = bundle.file(file)
    try:
        arrays: dict[str, np.ndarray] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(
            f"{path} is not a safetensors file ({error}); record it again with: "
            "edgeexpo parity BUNDLE --record"
        ) from error
    return arrays


def _check_model(bundle: Bundle, golden: Golden) -> None:
    """Refuse golden pictures whose names and channels are not those of the bundle's model."""
    spec = bundle.manifest.model
    expected = {t.name: t.channels for t in spec.inputs}
    fitting = bool(golden.outputs) and set(golden.inputs) == set(golden.outputs)
    for name, sample in golden.inputs.items():
        found = {key: array.shape[-1] for key, array in sample.items() if array.ndim == 3}
        output = golden.outputs.get(name)
        fitting &= found == expected and output is not None and output.ndim == 3
        fitting &= output is not None and output.shape[-1] == spec.outputs[0].channels
    if not fitting:
        raise BundleError(
            f"{bundle.path} has golden pictures of another model; expected inputs "
            f"{', '.join(f'{k} of {c} channels' for k, c in expected.items())}: record them again "
            "with: edgeexpo parity BUNDLE --record"
        )
