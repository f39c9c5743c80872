"""Targets of an export, with one frozen record for each target.

A record holds all that edgeexpo knows about a target. It names the suffix of its files, the code
that writes, runs and reads them, and the words for people. A new target takes one record here and
the files that the record names. Code for every target reads the record and compares no name.

A record names code as ``module:attribute``. :func:`resolve` imports the module when the code is
used. This module imports nothing but the error types, so that every module may import it.
:data:`TARGETS` is looked up on each call and never copied, so that every caller sees a new record.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from edgeexpo.engine_versions import EngineVersions, WrongVersions
from edgeexpo.errors import UsageError

USUAL_PRECISIONS = ("int8", "fp16", "fp32")
"""Precisions that a target supports unless its record says otherwise."""

DEFAULT_EXPORT_TARGET = "coreml"
"""Default target of ``edgeexpo export``."""

DEFAULT_TUNE_TARGET = "executorch"
"""Default target of ``edgeexpo tune``."""


@dataclass(frozen=True)
class Runner:
    """An engine or interpreter that runs the artefacts of a target.

    Attributes:
        name: Name in parity records, in ``bench`` and in ``doctor``.
        title: Name for people.
        engine: Class that implements :class:`edgeexpo.runtime.Engine`, as ``module:Class``. It
            takes the :class:`edgeexpo.spec.ModelSpec` and the engine's options.
        module: Module that the engine needs.
        extra: Extra of edgeexpo that installs that module.
        words: Sentences for the report about what a run proves and what it does not prove.
        versions: What is known about the engine's versions.
        precisions: Precisions of the artefacts that it runs.
        computes: Precision in which it computes these artefacts. ``None`` for their own.
        features: By the precision in which it computes, CPU features of which the processor needs
            one (:data:`edgeexpo.processor.CPU_FEATURES`). Other precisions run on every processor.
        emulates: The device that the engine emulates, for people. Its time says nothing about that
            device. Empty for an engine that is the device's own.
    """

    name: str
    title: str
    engine: str
    module: str
    extra: str
    words: str
    versions: EngineVersions = field(default_factory=EngineVersions)
    precisions: tuple[str, ...] = USUAL_PRECISIONS
    computes: str | None = None
    features: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    emulates: str = ""

    def precision_of(self, artifact: str) -> str:
        """Return the precision in which an artefact of the precision ``artifact`` is computed."""
        return self.computes or artifact

    def lacks(self, artifact: str, features: Collection[str]) -> str | None:
        """Return what a processor lacks for artefacts of a precision, in words, or ``None``.

        Args:
            artifact: The precision of the artefacts.
            features: The processor's features, as :func:`edgeexpo.processor.cpu_features` gives
                them.
        """
        precision = self.precision_of(artifact)
        needed = self.features.get(precision, ())
        if not needed or set(needed) & set(features):
            return None
        listed = " or ".join(filter(None, (", ".join(needed[:-1]), needed[-1])))
        return (
            f"{self.name} computes {precision} rightly only on processors with {listed}, and this "
            "one has none of them"
        )


@dataclass(frozen=True)
class Tracing:
    """The tracing of a target's artefacts, layer by layer, for ``debug``.

    Attributes:
        tracer: Class that implements :class:`edgeexpo.parity.localisation.trace.Tracer`, as
            ``module:Class``. It takes the model's spec and the artefact's sizes.
        step_share: RMS error of a quantised value that rounding explains, in quantisation steps.
    """

    tracer: str
    step_share: float


@dataclass(frozen=True)
class Target:
    """The record of one target. Functions are named as ``module:function``.

    Attributes:
        name: Name in manifests and on the command line.
        title: Name for people.
        suffix: Suffix of an artefact's file or folder. No other target has the same suffix.
        exporter: Function that writes an artefact. It takes the program and the path, and returns
            the sizes that the artefact accepts.
        runner: Engine that runs the target's artefacts.
        reader: Function that reads an artefact for ``inspect``.
        tools: Libraries that write the artefacts. Manifests record their versions.
        libraries: Libraries that determine what the engine computes. Reports show their versions.
        precisions: Precisions that the target supports.
        usual: True if the word ``all`` includes the target. ``edgeexpo[export]`` installs
            everything that a usual target needs.
        converter: Module that the exporter needs. ``None`` if it needs no module of its own.
        converter_extra: Extra of edgeexpo that installs the converter.
        platform: The only ``sys.platform`` on which the engine runs. ``None`` for any platform.
        platform_title: Name of that platform for people.
        interpreter: Interpreter that verifies artefacts on other platforms. ``None`` without an
            interpreter.
        more_runners: Further engines that run the same artefacts, the fastest first. They are
            optional, and each proves its own verdict.
        census: Function that counts what the engine computes on integers. ``None`` without a count.
        tracing: Tracing of the artefacts for ``debug``. ``None`` if ``debug`` does not support the
            target.
        float_operators: Function for INT8 artefacts. It counts what the engine computes in float
            although the program computes it on integers. ``None`` if there is nothing to count.
        fault_editor: Class that plants faults in artefacts for tests, as ``module:Class``.
        operators_title: Name of the operators in the output of ``inspect``.
        holds_stages: True if artefacts may hold their stages, from frames to the picture.
        witnesses: Targets that convert the same program again, for ``parity`` to compare with.
        chips: Function that returns a chip by its name, for a target whose artefacts are compiled
            for one. The exporter then takes a :class:`edgeexpo.export.compilation.Compilation`
            as its third argument. ``None`` for others.
        compiler: Function that compiles an artefact for a chip. It takes the path and the chip and
            returns a :class:`edgeexpo.export.compilation.Compiled`. ``None`` without a compiler.
    """

    name: str
    title: str
    suffix: str
    exporter: str
    runner: Runner
    reader: str
    tools: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    precisions: tuple[str, ...] = USUAL_PRECISIONS
    usual: bool = False
    converter: str | None = None
    converter_extra: str = "export"
    platform: str | None = None
    platform_title: str = ""
    interpreter: Runner | None = None
    more_runners: tuple[Runner, ...] = ()
    census: str | None = None
    tracing: Tracing | None = None
    float_operators: str | None = None
    fault_editor: str | None = None
    operators_title: str = "operators"
    holds_stages: bool = False
    witnesses: tuple[str, ...] = ()
    chips: str | None = None
    compiler: str | None = None

    @property
    def runs_here(self) -> bool:
        """True if the target's own engine runs on this host's platform."""
        return self.platform in (None, sys.platform)

    @property
    def all_runners(self) -> tuple[Runner, ...]:
        """The further engines, the target's own engine, and the interpreter if there is one."""
        last = () if self.interpreter is None else (self.interpreter,)
        return (*self.more_runners, self.runner, *last)

    @property
    def verifier(self) -> Runner:
        """Runner that verifies artefacts on this host.

        It is the engine, or the interpreter if the engine does not run on this host's platform and
        the target has an interpreter.
        """
        return self.runner if self.runs_here or self.interpreter is None else self.interpreter


_ONNX = Target(
    name="onnx",
    holds_stages=True,
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
        versions=EngineVersions(
            "onnxruntime",
            least="1.20.1",
            wrong=(
                WrongVersions(
                    "1.21",
                    "1.24",
                    "amx_int8",
                    "int8",
                    "a kernel for AMX errs by up to 19 codes (issue 26324 of onnxruntime)",
                ),
            ),
            options=MappingProxyType({"session.x64quantprecision": "1"}),
            without="On x86 processors without VNNI, INT8 files saturate without this session "
            "option and show a wrong picture.",
        ),
    ),
    more_runners=(
        Runner(
            name="openvino",
            title="OpenVINO",
            engine="edgeexpo.runtime.engines.openvino:OpenvinoEngine",
            module="openvino",
            extra="openvino",
            words="The file was run by OpenVINO's CPU plugin on this host, in its own precision. "
            "Not verified: OpenVINO's GPU and NPU plugins.",
            versions=EngineVersions("openvino"),
            precisions=("int8", "fp32"),
            # Without these instructions the sums of OpenVINO's 8-bit products saturate.
            features=MappingProxyType(
                {"int8": ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")}
            ),
        ),
        Runner(
            name="openvino-bf16",
            title="OpenVINO in BF16",
            engine="edgeexpo.runtime.engines.openvino:OpenvinoBf16Engine",
            module="openvino",
            extra="openvino",
            words="The fp32 file was run by OpenVINO's CPU plugin on this host, which computed it "
            "in BF16. Not verified: OpenVINO's GPU and NPU plugins.",
            versions=EngineVersions("openvino"),
            precisions=("fp32",),
            computes="bf16",
            features=MappingProxyType({"bf16": ("avx512_bf16", "amx_bf16")}),
        ),
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
    holds_stages=True,
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
        versions=EngineVersions("executorch"),
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
    holds_stages=True,
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
        versions=EngineVersions("coremltools"),
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
        versions=EngineVersions("coremltools"),
    ),
    census="edgeexpo.inspection.census:coreml_census",
    # Core ML computes values in fp16 before it quantises them. Up to a quarter of the values fall
    # to the other side of a step.
    tracing=Tracing("edgeexpo.parity.localisation.trace_coreml:CoremlTracer", 0.25),
    fault_editor="edgeexpo.testing.faults.plant_coreml:CoremlFile",
    witnesses=("coreai",),
)

_LITERT = Target(
    name="litert",
    holds_stages=True,
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
        versions=EngineVersions("ai-edge-litert"),
    ),
    reader="edgeexpo.inspection.contents:tflite_contents",
    tools=("litert-torch", "ai-edge-litert"),
    libraries=("ai-edge-litert",),
    converter="litert_torch",
    converter_extra="litert",
    census="edgeexpo.inspection.census:litert_census",
)

_COREAI = Target(
    name="coreai",
    title="Core AI",
    suffix=".aimodel",
    exporter="edgeexpo.export.coreai_export:export_coreai",
    runner=Runner(
        name="coreai",
        title="Core AI (beta)",
        engine="edgeexpo.runtime.engines.coreai:CoreaiEngine",
        module="coreai.authoring",
        extra="coreai",
        words="The model was run by a beta of Apple's Core AI runtime on this host's CPU. "
        "Not verified: Apple's GPU and Neural Engine, and the runtime of a Mac or a phone.",
        versions=EngineVersions("coreai-core"),
    ),
    reader="edgeexpo.inspection.coreai:coreai_contents",
    tools=("coreai-torch", "coreai-core"),
    libraries=("coreai-core",),
    converter="coreai_torch",
    converter_extra="coreai",
)

_QNN = Target(
    name="qnn",
    title="Hexagon",
    suffix=".qnn.onnx",
    exporter="edgeexpo.export.qnn_export:export_qnn",
    chips="edgeexpo.chips:chip_named",
    compiler="edgeexpo.export.qnn_compile:compile_qnn",
    runner=Runner(
        name="htp-emulator",
        title="HTP emulator",
        engine="edgeexpo.runtime.engines.qnn:HtpEngine",
        module="onnxruntime_qnn",
        extra="qnn",
        words="The file was compiled for the named chip and run by Qualcomm's emulation of its HTP "
        "on this host, with no operator on the CPU. Not verified: the chip itself, and its time.",
        versions=EngineVersions("onnxruntime-qnn"),
        precisions=("int8", "a16w8"),
        emulates="a Hexagon NPU",
    ),
    reader="edgeexpo.inspection.contents:qnn_contents",
    tools=("onnx", "onnxscript", "onnxsim", "onnxruntime-qnn"),
    libraries=("onnxruntime", "onnxruntime-qnn"),
    precisions=("int8", "a16w8"),
    converter="onnxruntime_qnn",
    converter_extra="qnn",
)

TARGETS: Mapping[str, Target] = MappingProxyType(
    {record.name: record for record in (_ONNX, _EXECUTORCH, _COREML, _LITERT, _COREAI, _QNN)}
)
"""Targets by name, in the order in which ``run``, ``bench`` and ``runtime.load`` prefer them.

Read the table as ``targets.TARGETS`` or through the functions below, at the moment of use.
"""


def target_named(name: str) -> Target:
    """Return the record of a target.

    Raises:
        UsageError: No target has this name.
    """
    if name not in TARGETS:
        raise UsageError(f"unknown target {name!r}; expected one of {', '.join(TARGETS)}")
    return TARGETS[name]


def target_names() -> tuple[str, ...]:
    """Return the names of all targets, in order of preference."""
    return tuple(TARGETS)


def usual_targets() -> tuple[str, ...]:
    """Return the names of the targets in the word ``all``, in order of preference."""
    return tuple(name for name, record in TARGETS.items() if record.usual)


def suffixes() -> dict[str, str]:
    """Return the suffix of an artefact's file or folder, by the target's name."""
    return {name: record.suffix for name, record in TARGETS.items()}


def witness_names() -> tuple[str, ...]:
    """Return the names of the targets that are witnesses of others."""
    named = {name for record in TARGETS.values() for name in record.witnesses}
    return tuple(name for name in TARGETS if name in named)


def witnessed_targets(witness: str) -> tuple[str, ...]:
    """Return the names of the targets that have a witness."""
    return tuple(name for name, record in TARGETS.items() if witness in record.witnesses)


def runners() -> list[Runner]:
    """Return the engines and interpreters of all targets."""
    return [runner for record in TARGETS.values() for runner in record.all_runners]


def runner_named(name: str) -> tuple[Target, Runner]:
    """Return an engine or interpreter with the target whose artefacts it runs.

    Raises:
        UsageError: No target has a runner of this name.
    """
    for target in TARGETS.values():
        for runner in target.all_runners:
            if runner.name == name:
                return target, runner
    names = ", ".join(runner.name for runner in runners())
    raise UsageError(f"unknown engine {name!r}; expected one of {names}")


def resolve(name: str) -> Any:
    """Import the module of ``module:attribute`` and return the attribute.

    Raises:
        ImportError: The module, or one that it imports, is not installed.
        AttributeError: The module has no such attribute.
    """
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
