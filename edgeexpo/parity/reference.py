"""References: the float program and the quantised program, to which artefacts are compared."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.fx import Node

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Manifest
from edgeexpo.errors import BundleError, MissingDependencyError, UsageError
from edgeexpo.failures import reading
from edgeexpo.parity.golden import Device
from edgeexpo.processor import processor_name
from edgeexpo.program.layouts import take_any_layout
from edgeexpo.runtime.engines.base import Arrays
from edgeexpo.runtime.session import Session
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.silence import quiet
from edgeexpo.spec import SizeRange

DEVICES = ("cuda", "mps", "xpu", "cpu")
"""Kinds of device that run a reference, as torch names them."""

REFERENCES = ("auto", *DEVICES, "golden")
"""Names of references that a user may choose."""


Execution = Callable[[torch.fx.GraphModule], Callable[..., torch.Tensor]]
"""Function that turns the module of a program into the function that runs it on NCHW tensors."""

Codes = Callable[[torch.Tensor, float, int, int, int], torch.Tensor]
"""Function that rounds a tensor to the codes of a scale, a zero point and two bounds, and back."""


class ProgramRun:
    """Runs a program in torch, deterministically and without TF32.

    Args:
        program: The program. Its weights are laid out in memory anew.
        manifest: The manifest of the bundle that it belongs to.
        device: One of :data:`DEVICES`.
        dtype: The dtype to which the program's weights and the pictures are converted.
        execution: Function that makes the function to run of the program's module; by default the
            module itself with :func:`fused_codes`.
    """

    def __init__(
        self,
        program: ExportedProgram,
        manifest: Manifest,
        device: str,
        dtype: torch.dtype = torch.float32,
        execution: Execution | None = None,
    ) -> None:
        self._device = torch.device(device)
        self._dtype = dtype
        # Guards exclude sizes at which an inner axis has one element. The artefacts take them.
        module: Any = program.module(check_guards=False).to(self._device, dtype)
        take_any_layout(module)
        for weight in (*module.parameters(), *module.buffers()):
            if weight.ndim == 4:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        self._module = (execution or fused_codes)(module)
        self._spec = manifest.model
        self._session: Session | None = None
        if manifest.network is not None:
            self._spec = manifest.network.spec
            self._session = Session(self._spec, manifest.network.sizes, _RunAsEngine(self))
            return
        # Core ML enumerates its sizes; the program itself takes every size between the bounds.
        offered = [artifact.sizes for artifact in manifest.artifacts]
        low = min(s.smallest[0] for s in offered), min(s.smallest[1] for s in offered)
        step = min(s.multiple for s in offered)
        self._sizes = SizeRange(manifest.recipe.size, low, step)

    def __call__(self, inputs: Arrays) -> np.ndarray:
        """Run the program: HxWxC float32 by input name to the HxWxC float32 output.

        For artefacts that hold the stages, inputs are frames, and the output is the picture that
        the runtime shows with the program as its network, in steps of 1/255.
        """
        spec = self._spec
        if self._session is not None:
            frames = (np.rint(inputs[n] * 255).astype(np.uint8) for n in spec.frames)
            return np.asarray(self._session(*frames), np.float32) / np.float32(255)
        return run_tiled(self.run_planes, inputs, spec.footprint, self._sizes, spec.fixed_inputs)

    @property
    def output(self) -> str:
        """Name of the network's output."""
        return self._spec.outputs[0].name

    def run_planes(self, inputs: Arrays) -> np.ndarray:
        """Run the program on the network's inputs, NCHW float32 by name, once."""
        tensors = [
            torch.from_numpy(inputs[t.name]).to(
                self._device, self._dtype, memory_format=torch.channels_last
            )
            for t in self._spec.inputs
        ]
        with torch.no_grad(), deterministic():
            output: np.ndarray = self._module(*tensors).float().cpu().contiguous().numpy()
        return output


class _RunAsEngine:
    """A program of a network as the engine of a session."""

    name = "torch"

    def __init__(self, run: ProgramRun) -> None:
        self._program = run

    def load(self, path: Path) -> None:
        """Do nothing: the program is loaded."""

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run the program once, from and to NCHW float32 by name."""
        return {self._program.output: self._program.run_planes(inputs)}

    def close(self) -> None:
        """Do nothing: the program is freed with its reference."""


class ProgramReference(ProgramRun):
    """Runs a program of a bundle.

    Args:
        bundle: The bundle that holds the program.
        file: ``reference.pt2`` or ``quantized.pt2``.
        device: As for :class:`ProgramRun`.
        dtype: As for :class:`ProgramRun`.
        execution: As for :class:`ProgramRun`.

    Raises:
        BundleError: The file is missing, was changed, or is not a program that this torch reads.
    """

    def __init__(
        self,
        bundle: Bundle,
        file: str,
        device: str,
        dtype: torch.dtype = torch.float32,
        execution: Execution | None = None,
    ) -> None:
        super().__init__(load_program(bundle, file), bundle.manifest, device, dtype, execution)


def load_program(bundle: Bundle, file: str) -> Any:
    """Load a bundle's ``reference.pt2`` or ``quantized.pt2`` with ``torch.export``.

    Raises:
        BundleError: The file is missing, was changed, or is not a program that this torch reads.
    """
    # A process that has not quantised anything lacks the operators of quantized.pt2 (torch 2.13).
    import torch.ao.quantization.fx._decomposed

    path = bundle.file(file)
    again = "export the bundle again with the versions that edgeexpo doctor lists"
    what = f"is not a program that torch {torch.__version__} reads"
    with reading(path, BundleError, what, again), quiet():
        return torch.export.load(path)


def through_codes(
    x: torch.Tensor, scale: float, zero_point: int, low: int, high: int
) -> torch.Tensor:
    """Round ``x`` to codes, to the nearest, and return their real numbers."""
    codes = (x * (1.0 / scale)).round_().add_(zero_point).clamp_(low, high)
    return codes.sub_(zero_point).mul_(scale)


def fused_codes(
    module: torch.fx.GraphModule, codes_of: Callable[[Node], Codes] = lambda _: through_codes
) -> torch.fx.GraphModule:
    """Replace each quantiser and its dequantisers in ``module`` by one step on real numbers.

    With :func:`through_codes` the results are equal bit for bit, in half the time. Codes of 8 bits
    are exact in float32, and no copy of the picture changes its type.

    Args:
        module: The module of a quantised program, which is changed in place.
        codes_of: Function from a quantiser to the step that takes its place.

    Returns:
        ``module``.
    """
    decomposed = torch.ops.quantized_decomposed
    for node in list(module.graph.nodes):
        readers = list(node.users)
        if node.target is not decomposed.quantize_per_tensor.default or not all(
            user.target is decomposed.dequantize_per_tensor.default
            and user.args[1:] == node.args[1:]
            and not user.kwargs
            for user in readers
        ):
            continue
        with module.graph.inserting_before(node):
            fused = module.graph.call_function(codes_of(node), node.args[:5])
        for reader in readers:
            reader.replace_all_uses_with(fused)
            module.graph.erase_node(reader)
        module.graph.erase_node(node)
    module.recompile()
    return module


FLAGS = "deterministic algorithms, no TF32, no autotuning"
"""Settings of :class:`deterministic`, in words."""


class deterministic:  # noqa: N801 - used as a context manager, like torch.no_grad
    """Context in which torch uses deterministic algorithms, no TF32 and no autotuning."""

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
    """Return one of :data:`DEVICES` for one of :data:`REFERENCES`.

    ``auto`` is the accelerator, or the CPU if there is no accelerator.

    Raises:
        UsageError: The name is unknown.
        MissingDependencyError: The device was asked for but is not available.
    """
    if reference not in REFERENCES:
        raise UsageError(f"unknown reference {reference!r}; expected {', '.join(REFERENCES)}")
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    found = accelerator.type if accelerator is not None else "cpu"
    if reference in ("auto", "golden"):
        return found if found in DEVICES else "cpu"
    if reference not in ("cpu", found):
        raise MissingDependencyError(
            f"no {reference} device was found; use `reference='cpu'`, or golden for a recorded "
            "reference"
        )
    return reference


def describe_device(device: str) -> Device:
    """Return the device and the facts that decide its numbers, for a parity record."""
    details = {"torch": torch.__version__, "flags": FLAGS}
    if device == "cuda":
        details |= {
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
            "driver": _driver(),
        }
        return Device("cuda", torch.cuda.get_device_name(), details=details)
    if device == "xpu":
        return Device("xpu", torch.xpu.get_device_name(), details=details)
    details["os"] = platform.platform()
    return Device(device, f"{processor_name()}, torch {torch.__version__}", details=details)


def _driver() -> str:
    command = shutil.which("nvidia-smi")
    if command is None:
        return "unknown"
    query = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    return (done.stdout.split() or ["unknown"])[0]
