"""ONNX Runtime with Qualcomm's QNN provider, whose library emulates the HTP on x86-64 processors.

The HTP (Hexagon Tensor Processor) is the NPU of Qualcomm's chips. The package ``onnxruntime-qnn``
has a plugin provider for ONNX Runtime and Qualcomm's libraries, which compile a network for a chip.
On x86-64 the same libraries execute the compiled network in software.

The emulator computes what Qualcomm's library says that the HTP computes. It is slow, and its time
says nothing about a phone.
"""

from __future__ import annotations

import re
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.chips import Chip, chip_named
from edgeexpo.errors import EngineError, MissingDependencyError
from edgeexpo.runtime.engines.base import (
    DEFAULTS,
    Arrays,
    EngineOptions,
    closed,
    first_line,
    in_memory,
    missing,
    refuse_placement,
)
from edgeexpo.runtime.engines.onnx import as_written, onnxruntime_failures
from edgeexpo.silence import STDOUT, muted
from edgeexpo.spec import ModelSpec

PROVIDER = "QNNExecutionProvider"
"""Name of Qualcomm's provider in ONNX Runtime."""

CHIP_KEY = "edgeexpo.chip"
"""Key of the metadata in an ``.onnx`` file that names the chip it was compiled for and run on."""

# Qualcomm's libraries print on standard output, where a verb prints its answer: muted(STDOUT).
_NO_FALLBACK = "session.disable_cpu_ep_fallback"
_RECORDED = "session.record_ep_graph_assignment_info"
_COPIED = re.compile(r"_token_\d+$")
"""What ONNX Runtime adds to the names of nodes that its layout changes copy."""


class HtpEngine:
    """An engine for a ``.qnn.onnx`` file: Qualcomm's emulation of the HTP.

    Operators that the HTP does not take are refused, never computed on the CPU.
    """

    name = "htp-emulator"

    def __init__(self, spec: ModelSpec, options: EngineOptions = DEFAULTS) -> None:
        self._outputs = [t.name for t in spec.outputs]
        self._options = options
        self._session: Any = None

    def load(self, path: Path) -> None:
        """Compile the network for the chip that the file names.

        Raises:
            MissingDependencyError: onnxruntime-qnn is not installed, or does not load on this host.
            EngineError: The file is damaged, or the HTP does not take all of its operators. Or the
                engine does not support the options.
        """
        refuse_placement(self._options, "The HTP emulator", "The HTP plans its memory beforehand")
        if self._options.threads not in (None, 1):
            raise EngineError("the HTP emulator runs on one thread; leave threads out")
        model = in_memory(path)
        with muted(STDOUT):
            try:
                options = htp_options(chip_of(model), {_NO_FALLBACK: "1"})
                self._session = _session(model, options)
            except onnxruntime_failures() as error:
                raise EngineError(
                    f"the HTP emulator cannot load {path.name}: {first_line(error)}"
                ) from error

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Run the network once, from and to NCHW float32 by name.

        Raises:
            EngineError: The emulator failed, or the engine is closed.
        """
        if self._session is None:
            raise closed(self.name)
        with muted(STDOUT):
            try:
                outputs = self._session.run(self._outputs, dict(inputs))
            except onnxruntime_failures() as error:
                raise EngineError(f"the HTP emulator failed: {first_line(error)}") from error
        return dict(zip(self._outputs, outputs, strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None


@dataclass(frozen=True)
class Assignment:
    """Where ONNX Runtime would run the nodes of a model.

    Attributes:
        htp: Operator types of the nodes that the HTP takes, by the node's name.
        elsewhere: Operator types of all other nodes, by the node's name.
    """

    htp: dict[str, str]
    elsewhere: dict[str, str]


def htp_assignment(model: bytes, chip: Chip) -> Assignment:
    """Ask the provider which nodes of a model the HTP of a chip takes.

    Args:
        model: The bytes of an ``.onnx`` file of fixed shapes.
        chip: The chip.

    Raises:
        MissingDependencyError: onnxruntime-qnn is not installed, or does not load on this host.
        EngineError: ONNX Runtime does not load the model.
    """
    with muted(STDOUT):
        try:
            return _assignment(_session(model, htp_options(chip, {_RECORDED: "1"})))
        except onnxruntime_failures() as error:
            raise EngineError(f"ONNX Runtime cannot load the model: {first_line(error)}") from error


def htp_context(model: bytes, chip: Chip) -> tuple[bytes, Assignment]:
    """Compile a model for the HTP of a chip.

    Args:
        model: The bytes of an ``.onnx`` file of fixed shapes.
        chip: The chip.

    Returns:
        The bytes of an ``.onnx`` file with one ``EPContext`` operator, which holds Qualcomm's
        context binary for the chip. And the assignment of the model's nodes.

    Raises:
        MissingDependencyError: onnxruntime-qnn is not installed, or does not load on this host.
        EngineError: The HTP does not take all of the model, or Qualcomm's library cannot compile.
    """
    with tempfile.TemporaryDirectory() as folder, muted(STDOUT):
        written = Path(folder) / "context.onnx"
        entries = {
            _NO_FALLBACK: "1",
            _RECORDED: "1",
            "ep.context_enable": "1",
            "ep.context_file_path": str(written),
            "ep.context_embed_mode": "1",
        }
        try:
            found = _assignment(_session(model, htp_options(chip, entries)))
            return in_memory(written), found
        except onnxruntime_failures() as error:
            raise EngineError(f"no context binary for {chip}: {first_line(error)}") from error


def _assignment(session: Any) -> Assignment:
    found = Assignment({}, {})
    for part in session.get_provider_graph_assignment_info():
        kept = found.htp if part.ep_name == PROVIDER else found.elsewhere
        kept |= {_COPIED.sub("", node.name): node.op_type for node in part.get_nodes()}
    return found


def chip_of(model: bytes) -> Chip:
    """Return the chip that an ``.onnx`` file names in its metadata, or the default chip.

    Raises:
        MissingDependencyError: ONNX Runtime is not installed.
        UsageError: The file names an unknown chip.
    """
    read = as_written(model, _plain_options())
    kept = read.get_modelmeta().custom_metadata_map
    return chip_named(kept.get(CHIP_KEY))


def htp_options(chip: Chip, entries: dict[str, str]) -> Any:
    """Return session options that compile for the HTP of a chip.

    Args:
        chip: The chip.
        entries: Further entries of the session's configuration.

    Raises:
        MissingDependencyError: onnxruntime-qnn is not installed, or does not load on this host.
    """
    package, devices = _provider()
    options = _plain_options()
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    options.add_provider_for_devices(
        devices[:1],
        {
            "backend_path": package.get_qnn_htp_path(),
            "soc_model": str(chip.soc_model),
            "htp_arch": str(chip.htp_arch),
            # Else the codes of inputs and outputs are computed on the CPU.
            "offload_graph_io_quantization": "0",
        },
    )
    return options


def _plain_options() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise missing("onnxruntime", "") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the provider logs its failures, which are raised as well
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def _session(model: bytes, options: Any) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, options)
    # ONNX Runtime 1.31 would run a failed call again on the CPU, with a warning alone.
    session.disable_fallback()
    return session


_registering = threading.Lock()


def _provider() -> tuple[Any, list[Any]]:
    """Return the package of the provider and its devices, after registering it once a process."""
    try:
        import onnxruntime
        import onnxruntime_qnn
    except ImportError as error:
        raise missing("onnxruntime-qnn", "[qnn]") from error
    with _registering:
        if not (devices := _devices()):
            try:
                onnxruntime.register_execution_provider_library(
                    PROVIDER, onnxruntime_qnn.get_library_path()
                )
            except onnxruntime_failures() as error:
                raise MissingDependencyError(
                    f"onnxruntime-qnn does not load on this host ({first_line(error)}); it needs "
                    "Linux on x86-64 with glibc 2.35 or later"
                ) from error
            devices = _devices()
    if not devices:
        raise MissingDependencyError(
            "onnxruntime-qnn finds no HTP on this host; it emulates one on Linux on x86-64"
        )
    return onnxruntime_qnn, devices


def _devices() -> list[Any]:
    import onnxruntime

    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER]
