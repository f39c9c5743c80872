"""Targets: what a network can be exported to, one frozen record a target.

A record says all that edgeexpo knows of a target: the suffix of its files, who writes them, who
runs them, who reads them, and what people are told of them. Adding a target is one record here
and the files that it names. Code that serves every target asks the record and tests no name.

A record names code as ``module:attribute``, which :func:`resolve` imports when it is used. This
module imports nothing but the error types, so that everything may import it. :data:`TARGETS` is
looked up on each call and never copied: whoever adds a record is heard everywhere.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edgeexpo.errors import UsageError

ALL_PRECISIONS = ("int8", "fp16", "fp32")
"""Precisions that a target supports unless its record says otherwise."""

DEFAULT_EXPORT_TARGET = "coreml"
"""Target of ``edgeexpo export`` where nobody names one."""

DEFAULT_TUNE_TARGET = "executorch"
"""Target of ``edgeexpo tune`` where nobody names one."""


@dataclass(frozen=True)
class Runner:
    """What runs the artefacts of a target.

    Attributes:
        name: Name in parity records, in ``bench`` and in ``doctor``.
        title: Name for people.
        engine: Class that implements :class:`edgeexpo.runtime.Engine`, ``module:Class``. It is
            made from the :class:`edgeexpo.spec.ModelSpec` and the engine's options.
        module: Module that the engine cannot do without.
        extra: Extra of edgeexpo that installs that module.
        words: Sentences for the report: what a run proves, and what it does not.
    """

    name: str
    title: str
    engine: str
    module: str
    extra: str
    words: str


@dataclass(frozen=True)
class Tracing:
    """How ``debug`` looks into the artefacts of a target.

    Attributes:
        tracer: What makes a :class:`edgeexpo.parity.localisation.trace.Tracer` from the model's
            spec and the artefact's sizes, ``module:Class``.
        step_share: RMS in steps that rounding explains in a quantised value.
    """

    tracer: str
    step_share: float


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        name: Name in manifests and on the command line.
        title: Name for people.
        suffix: Suffix of its file or folder; no other target has it.
        exporter: Function that writes an artefact, ``module:function``. It takes the program and
            the path, and returns the sizes that the artefact accepts.
        runner: What runs its artefacts.
        reader: Function that reads an artefact for ``inspect``, ``module:function``.
        tools: Libraries that write its artefacts; manifests record their versions.
        libraries: Libraries that decide what its engine computes; reports show their versions.
        precisions: Precisions that it supports.
        usual: Whether the word ``all`` stands for it, too: ``edgeexpo[export]`` brings all of it.
        converter: Module that its exporter cannot do without; ``None`` where there is no such.
        converter_extra: Extra of edgeexpo that installs the converter.
        platform: The one ``sys.platform`` on which its engine runs; ``None`` for any.
        platform_title: That platform's name for people.
        interpreter: What verifies its artefacts on other platforms; ``None`` for nothing.
        census: Function that counts what its engine computes on integers, ``module:function``;
            ``None`` where nobody counts.
        tracing: How ``debug`` looks into its artefacts; ``None`` where it cannot.
        float_operators: Function that counts, in an INT8 artefact, what its engine computes in
            float and the program on integers, ``module:function``; ``None`` for nothing.
        fault_editor: Class that plants faults in its artefacts, ``module:Class``, for tests.
        operators_title: What ``inspect`` calls the operators of its files.
    """

    name: str
    title: str
    suffix: str
    exporter: str
    runner: Runner
    reader: str
    tools: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ALL_PRECISIONS
    usual: bool = False
    converter: str | None = None
    converter_extra: str = "export"
    platform: str | None = None
    platform_title: str = ""
    interpreter: Runner | None = None
    census: str | None = None
    tracing: Tracing | None = None
    float_operators: str | None = None
    fault_editor: str | None = None
    operators_title: str = "operators"

    @property
    def runs_here(self) -> bool:
        """Whether its own engine runs on this host's platform."""
        return self.platform in (None, sys.platform)

    @property
    def verifier(self) -> Runner:
        """What verifies its artefacts on this host: off its platform, its interpreter."""
        return self.runner if self.runs_here or self.interpreter is None else self.interpreter


_ONNX = Target(
    name="onnx",
    title="ONNX",
    suffix=".onnx",
    exporter="edgeexpo.export.onnx_export:export_onnx",
    runner=Runner(
        name="onnxruntime",
        title="ONNX Runtime",
        engine="edgeexpo.runtime.engines.onnx:OnnxEngine",
        module="onnxruntime",
        extra="export",
        words="The file was run by ONNX Runtime's CPU provider on this host. "
        "Not verified: other execution providers.",
    ),
    reader="edgeexpo.inspection.contents:onnx_contents",
    tools=("onnx", "onnxscript", "onnxsim"),
    libraries=("onnxruntime",),
    usual=True,
    converter="onnxscript",
    census="edgeexpo.inspection.census:onnxruntime_census",
    tracing=Tracing("edgeexpo.parity.localisation.trace_onnx:OnnxTracer", 0.05),
    float_operators="edgeexpo.export.onnx_transposed:float_transposed",
    fault_editor="edgeexpo.testing.faults.plant_onnx:OnnxFile",
)

_EXECUTORCH = Target(
    name="executorch",
    title="ExecuTorch",
    suffix=".pte",
    exporter="edgeexpo.export.executorch_export:export_executorch",
    runner=Runner(
        name="executorch",
        title="ExecuTorch",
        engine="edgeexpo.runtime.engines.executorch:ExecutorchEngine",
        module="executorch.runtime",
        extra="export",
        words="The file was run by ExecuTorch with its XNNPACK kernels on this host's CPU. "
        "Not verified: a phone's CPU, and other delegates.",
    ),
    reader="edgeexpo.inspection.contents:pte_contents",
    tools=("executorch",),
    libraries=("torch", "executorch"),
    usual=True,
    converter="executorch",
    census="edgeexpo.inspection.census:executorch_census",
    tracing=Tracing("edgeexpo.parity.localisation.trace_executorch:ExecutorchTracer", 0.05),
    fault_editor="edgeexpo.testing.faults.plant_executorch:ExecutorchFile",
    operators_title="portable kernels",
)

_COREML = Target(
    name="coreml",
    title="Core ML",
    suffix=".mlpackage",
    exporter="edgeexpo.export.coreml_export:export_coreml",
    runner=Runner(
        name="coreml",
        title="Core ML",
        engine="edgeexpo.runtime.engines.coreml:CoremlEngine",
        module="coremltools",
        extra="export",
        words="The package was run by Apple's Core ML runtime on this Mac. "
        "Not verified: a phone, whose compute units may round otherwise.",
    ),
    reader="edgeexpo.inspection.contents:coreml_contents",
    tools=("coremltools",),
    libraries=("coremltools",),
    usual=True,
    converter="coremltools",
    platform="darwin",
    platform_title="macOS",
    interpreter=Runner(
        name="mil-interpreter",
        title="MIL interpreter",
        engine="edgeexpo.mil.interpreter:MilEngine",
        module="coremltools",
        extra="export",
        words="The saved Core ML package, weights read from disk, was executed operator by "
        "operator, with fp16 rounding where the package asks for it. Not verified: Apple's CPU, "
        "GPU or Neural Engine; run edgeexpo parity on a Mac for its runtime.",
    ),
    census="edgeexpo.inspection.census:coreml_census",
    # Core ML computes in fp16 what it then quantises: up to a quarter of the values fall to the
    # other side of a step.
    tracing=Tracing("edgeexpo.parity.localisation.trace_coreml:CoremlTracer", 0.25),
    fault_editor="edgeexpo.testing.faults.plant_coreml:CoremlFile",
)

_LITERT = Target(
    name="litert",
    title="LiteRT",
    suffix=".tflite",
    exporter="edgeexpo.export.litert_export:export_litert",
    runner=Runner(
        name="litert",
        title="LiteRT",
        engine="edgeexpo.runtime.engines.litert:LitertEngine",
        module="ai_edge_litert.interpreter",
        extra="litert-runtime",
        words="The file was run by LiteRT with its XNNPACK kernels on this host's CPU. "
        "Not verified: a phone's CPU, and its GPU and NPU delegates.",
    ),
    reader="edgeexpo.inspection.contents:tflite_contents",
    tools=("litert-torch", "ai-edge-litert"),
    libraries=("ai-edge-litert",),
    converter="litert_torch",
    converter_extra="litert",
    census="edgeexpo.inspection.census:litert_census",
)

TARGETS: Mapping[str, Target] = MappingProxyType(
    {record.name: record for record in (_ONNX, _EXECUTORCH, _COREML, _LITERT)}
)
"""Targets by name, in the order in which ``run``, ``bench`` and ``runtime.load`` prefer them.

Read it as ``targets.TARGETS``, or through the functions below, when it is needed.
"""


def target_named(name: str) -> Target:
    """The record of a target.

    Raises:
        UsageError: No target has this name.
    """
    if name not in TARGETS:
        raise UsageError(f"unknown target {name!r}; expected one of {', '.join(TARGETS)}")
    return TARGETS[name]


def target_names() -> tuple[str, ...]:
    """Names of all targets, in order of preference."""
    return tuple(TARGETS)


def usual_targets() -> tuple[str, ...]:
    """Names of the targets that the word ``all`` stands for, in order of preference."""
    return tuple(name for name, record in TARGETS.items() if record.usual)


def suffixes() -> dict[str, str]:
    """Suffix of an artefact's file or folder, by the target's name."""
    return {name: record.suffix for name, record in TARGETS.items()}


def runners() -> list[Runner]:
    """Whatever runs artefacts of any target, interpreters included."""
    found = [(r.runner, *([r.interpreter] if r.interpreter else [])) for r in TARGETS.values()]
    return [runner for pair in found for runner in pair]


def resolve(name: str) -> Any:
    """What ``module:attribute`` names; the module is imported by now.

    Raises:
        ImportError: The module, or one that it imports, is not installed.
        AttributeError: The module has no such attribute.
    """
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
