"""The pictures that artefacts are compared with: the float program and the quantised one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeexpo.artifact import Bundle, digest, write_file
from edgeexpo.errors import BundleError, MissingDependencyError, UsageError
from edgeexpo.export.noise import quiet
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import SizeRange

REFERENCES = ("auto", "cuda", "cpu", "golden")
GOLDEN_INPUTS, GOLDEN_OUTPUTS = "golden/inputs.safetensors", "golden/outputs.safetensors"
GOLDEN_DEVICE = "golden/device.json"

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Device:
    """Where a reference was computed."""

    device: str
    name: str
    dtype: str = "float32"


class ProgramReference:
    """Runs a program of the bundle in torch, deterministically and without TF32.

    Args:
        bundle: Its ``reference.pt2`` or ``quantized.pt2`` is run.
        file: Which of them.
        device: ``cpu`` or ``cuda``.

    Raises:
        BundleError: The file is missing, was changed, or is no program that this torch reads.
    """

    def __init__(self, bundle: Bundle, file: str, device: str) -> None:
        self._device = torch.device(device)
        self._module = load_program(bundle, file).module().to(self._device)
        self._spec = bundle.manifest.model
        sizes = bundle.manifest.artifacts[0].sizes
        # Core ML enumerates its sizes; the program itself takes everything between the bounds.
        self._sizes = SizeRange(bundle.manifest.recipe.size, sizes.smallest, sizes.multiple)

    def __call__(self, inputs: Arrays) -> np.ndarray:
        """HxWxC float32 by input name to the HxWxC float32 output."""
        spec = self._spec
        return run_tiled(self._run, inputs, spec.halo, self._sizes, spec.fixed_inputs)

    def _run(self, inputs: Arrays) -> np.ndarray:
        tensors = [
            torch.from_numpy(inputs[t.name]).to(self._device, memory_format=torch.channels_last)
            for t in self._spec.inputs
        ]
        with torch.no_grad(), deterministic():
            output: np.ndarray = self._module(*tensors).float().cpu().contiguous().numpy()
        return output


def load_program(bundle: Bundle, file: str) -> Any:
    """The ``torch.export`` program of a bundle's ``reference.pt2`` or ``quantized.pt2``.

    Raises:
        BundleError: The file is missing, was changed, or is no program that this torch reads.
    """
    # A process that has not quantised anything lacks the operators of quantized.pt2 (torch 2.13).
    import torch.ao.quantization.fx._decomposed

    path = bundle.file(file)
    try:
        with quiet():
            return torch.export.load(path)
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise BundleError(
            f"{path} is not a program that torch {torch.__version__} reads; "
            "export the bundle again with the versions that edgeexpo doctor lists"
        ) from error


class deterministic:  # noqa: N801 - used as a context manager, like torch.no_grad
    """Deterministic algorithms, no TF32, no autotuning, inside the block."""

    def __enter__(self) -> None:
        self._before = (
            torch.are_deterministic_algorithms_enabled(),
            torch.backends.cudnn.allow_tf32,
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cudnn.benchmark,
        )
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark = False

    def __exit__(self, *_: object) -> None:
        algorithms, cudnn, matmul, benchmark = self._before
        torch.use_deterministic_algorithms(algorithms)
        torch.backends.cudnn.allow_tf32 = cudnn
        torch.backends.cuda.matmul.allow_tf32 = matmul
        torch.backends.cudnn.benchmark = benchmark


def choose_device(reference: str) -> str:
    """``cuda`` or ``cpu`` for one of :data:`REFERENCES`.

    Raises:
        UsageError: Another name.
        MissingDependencyError: ``cuda`` was asked for and there is none.
    """
    if reference not in REFERENCES:
        raise UsageError(f"unknown reference {reference!r}; expected {', '.join(REFERENCES)}")
    if reference == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError(
            "no CUDA device was found; use --reference cpu, or golden for a recorded reference"
        )
    return "cuda" if reference != "cpu" and torch.cuda.is_available() else "cpu"


def describe(device: str) -> Device:
    """The device's name as a parity record gives it."""
    if device == "cuda":
        return Device("cuda", torch.cuda.get_device_name())
    name = "CPU"
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line for line in info.read_text().splitlines() if line.startswith("model name"))
        name = next((line.partition(":")[2].strip() for line in lines), name)
    return Device("cpu", f"{name}, torch {torch.__version__}")


def record_golden(
    folder: Path, samples: Mapping[str, Arrays], outputs: Mapping[str, np.ndarray], device: Device
) -> dict[str, str]:
    """Write golden inputs and reference outputs into a bundle.

    Args:
        folder: The bundle's folder.
        samples: Network inputs (HxWxC float32 by input name) by sample name.
        outputs: Reference output (HxWxC float32) by sample name.
        device: What computed them.

    Returns:
        SHA-256 by relative path, for the manifest.
    """
    from safetensors.numpy import save

    (folder / "golden").mkdir(exist_ok=True)
    inputs = {f"{name}/{key}": a for name, sample in samples.items() for key, a in sample.items()}
    content = {
        GOLDEN_INPUTS: save({k: np.ascontiguousarray(v) for k, v in inputs.items()}),
        GOLDEN_OUTPUTS: save({k: np.ascontiguousarray(v) for k, v in outputs.items()}),
        GOLDEN_DEVICE: json.dumps(vars(device), indent=1).encode(),
    }
    for name, data in content.items():
        write_file(folder / name, data)
    return {name: digest(folder / name) for name in content}


def read_golden(bundle: Bundle) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any], Device]:
    """Golden inputs by sample and input name, outputs by sample name, and their device.

    Raises:
        BundleError: The bundle has none, or they do not belong to its model.
    """
    from safetensors.numpy import load_file

    if GOLDEN_OUTPUTS not in bundle.manifest.files:
        raise BundleError(f"{bundle.path} has no golden outputs; use --reference cpu")
    outputs = load_file(bundle.file(GOLDEN_OUTPUTS))
    inputs: dict[str, dict[str, np.ndarray]] = {}
    for key, value in load_file(bundle.file(GOLDEN_INPUTS)).items():
        sample, _, name = key.rpartition("/")
        inputs.setdefault(sample, {})[name] = value
    names = {t.name for t in bundle.manifest.model.inputs}
    if set(inputs) != set(outputs) or any(set(v) != names for v in inputs.values()):
        raise BundleError(f"{bundle.path} has golden pictures of another model; export it again")
    device = Device(**json.loads(bundle.file(GOLDEN_DEVICE).read_text("utf-8")))
    return inputs, outputs, device
