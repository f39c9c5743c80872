"""Contents of artefact files: inputs, outputs and operators, with one function for each format.

Each function returns JSON values. ``kind`` names the format. ``inputs`` and ``outputs`` are lists
of ``{name, shape, dtype}``, where ``None`` in a shape is a dynamic axis. ``operators`` are counts
by name. A format may add other keys.

An artefact also has ``engine_graph``, which holds what its engine computes on integers. If that is
unknown, ``engine_graph`` holds ``error``.
"""

from __future__ import annotations

import collections
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgeexpo import targets
from edgeexpo.coremltools_import import light_coremltools
from edgeexpo.errors import BundleError, EngineError, MissingDependencyError
from edgeexpo.failures import reading
from edgeexpo.inspection.census import coreml_census, onnxruntime_census, pte_census, tflite_census
from edgeexpo.inspection.pte import read_pte
from edgeexpo.inspection.tflite import TfliteTensor, read_tflite
from edgeexpo.mlpackage import read_package
from edgeexpo.spec import to_json
from edgeexpo.targets import resolve

Contents = dict[str, Any]
"""Type of the contents of a file, as JSON values."""


def onnx_contents(path: Path) -> Contents:
    """Return the contents of an ``.onnx`` file, with its opset.

    Raises:
        BundleError: The file is not an ONNX model.
        MissingDependencyError: The package onnx is not installed.
    """
    return {"kind": "onnx", **_onnx_facts(path), "engine_graph": _onnxruntime_graph(path)}


def qnn_contents(path: Path) -> Contents:
    """Return the contents of a ``.qnn.onnx`` file, and what the HTP of its chip takes.

    Raises:
        BundleError: The file is not an ONNX model.
        MissingDependencyError: The package onnx is not installed.
    """
    from edgeexpo.inspection.htp import htp_graph

    return {"kind": "qnn", **_onnx_facts(path), **htp_graph(path)}


def _onnx_facts(path: Path) -> Contents:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise _missing("onnx", path) from error
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise _damaged(path, "an ONNX model", error) from error
    if not model.graph.node:
        raise _damaged(path, "an ONNX model", "it has no operators")

    def tensors(values: Iterable[Any]) -> list[dict[str, Any]]:
        return [
            {
                "name": value.name,
                "shape": [
                    d.dim_value if d.HasField("dim_value") else None
                    for d in value.type.tensor_type.shape.dim
                ],
                "dtype": onnx.helper.tensor_dtype_to_np_dtype(
                    value.type.tensor_type.elem_type
                ).name,
            }
            for value in values
        ]

    return {
        "opset": {o.domain or "ai.onnx": o.version for o in model.opset_import},
        "inputs": tensors(model.graph.input),
        "outputs": tensors(model.graph.output),
        "operators": _histogram(node.op_type for node in model.graph.node),
    }


def _onnxruntime_graph(path: Path) -> dict[str, Any]:
    try:
        graph: dict[str, Any] = to_json(onnxruntime_census(path))
    except (EngineError, MissingDependencyError) as error:
        return {"error": str(error)}
    return graph


def pte_contents(path: Path) -> Contents:
    """Return the contents of a ``.pte`` file: its delegates and its portable kernels.

    ``operators`` are the portable kernels that are called. ``delegates`` has one entry for each
    delegate with the operators inside. XNNPACK's graph is read, and graphs of other backends are
    opaque. ``delegated_share`` is the number of delegated operators divided by that of all
    operators. It is ``None`` with an opaque delegate.

    Raises:
        BundleError: The file is not an ExecuTorch program.
        MissingDependencyError: executorch is not installed.
    """
    try:
        program = read_pte(path)
        inputs, outputs = (
            [_pte_tensor(program.plan, i) for i in side]
            for side in (program.plan.inputs, program.plan.outputs)
        )
    except ImportError as error:
        raise _missing("executorch", path) from error
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise _damaged(path, "an ExecuTorch program", error) from error
    inside = [None if d.operators is None else len(d.operators) for d in program.delegates]
    total = sum(n or 0 for n in inside)
    share = None if None in inside else total / max(total + len(program.kernels), 1)
    return {
        "kind": "executorch",
        "inputs": inputs,
        "outputs": outputs,
        "operators": _histogram(".".join(kernel) for kernel in program.kernels),
        "delegates": [
            {
                "id": d.backend,
                "operators": None
                if d.operators is None
                else _histogram(o.name for o in d.operators),
            }
            for d in program.delegates
        ],
        "delegate_calls": len(program.called),
        "delegated_share": share,
        "engine_graph": to_json(pte_census(program)),
    }


def _pte_tensor(plan: Any, index: int) -> dict[str, Any]:
    value = plan.values[index].val
    bounded = value.shape_dynamism != 0
    tensor = {"name": None, "shape": list(value.sizes), "dtype": value.scalar_type.name.lower()}
    return {**tensor, "upper_bound": bounded}


def coreml_contents(path: Path) -> Contents:
    """Return the contents of an ``.mlpackage``: MIL operators, precisions and bytes of weights.

    Raises:
        BundleError: The folder is not a Core ML package, or its model is not an mlprogram.
        MissingDependencyError: coremltools is not installed.
    """
    try:
        with light_coremltools():
            from coremltools.proto import FeatureTypes_pb2, MIL_pb2
    except ImportError as error:
        raise _missing("coremltools", path) from error
    try:
        spec = read_package(path).spec
    except (OSError, ValueError) as error:
        raise _damaged(path, "a Core ML package", error) from error
    if spec.WhichOneof("Type") != "mlProgram":
        raise _damaged(path, "an mlprogram", f"its type is {spec.WhichOneof('Type')}")
    function = spec.mlProgram.functions["main"]
    operations = function.block_specializations[function.opset].operations
    types = [
        o.type.tensorType.dataType for op in operations for o in op.outputs if op.type == "conv"
    ]

    def tensors(features: Iterable[Any]) -> list[dict[str, Any]]:
        names = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType
        return [
            {
                "name": f.name,
                "shape": list(f.type.multiArrayType.shape),
                "dtype": names.Name(f.type.multiArrayType.dataType).lower(),
            }
            for f in features
        ]

    return {
        "kind": "coreml",
        "opset": function.opset,
        "inputs": tensors(spec.description.input),
        "outputs": tensors(spec.description.output),
        "operators": _histogram(op.type for op in operations if op.type != "const"),
        "convolution_precision": _histogram(MIL_pb2.DataType.Name(t).lower() for t in types),
        "engine_graph": to_json(coreml_census(path)),
        "weights_bytes": sum(p.stat().st_size for p in path.rglob("weight.bin")),
    }


def tflite_contents(path: Path) -> Contents:
    """Return the contents of a ``.tflite`` file.

    Raises:
        BundleError: The file is not a LiteRT model.
        MissingDependencyError: ai-edge-litert is not installed.
    """
    try:
        graph = read_tflite(path)
    except ImportError as error:
        raise _missing("ai-edge-litert", path, "litert-runtime") from error
    except ValueError as error:
        raise _damaged(path, "a LiteRT model", error) from error

    def tensors(values: Iterable[TfliteTensor]) -> list[dict[str, Any]]:
        return [{"name": t.name, "shape": list(t.shape), "dtype": t.dtype} for t in values]

    return {
        "kind": "litert",
        "inputs": tensors(graph.inputs),
        "outputs": tensors(graph.outputs),
        "operators": _histogram(operator.name for operator in graph.operators),
        "engine_graph": to_json(tflite_census(graph)),
    }


def program_contents(path: Path) -> Contents:
    """Return the contents of a ``.pt2`` file, a program saved by ``torch.export``.

    Raises:
        BundleError: The file is not such a program.
        MissingDependencyError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise _missing("torch", path) from error
    if not zipfile.is_zipfile(path):
        raise _damaged(path, "a program of torch.export", "it is not a zip archive")
    # A process that has not quantised anything lacks the operators of quantized.pt2 (torch 2.13).
    import torch.ao.quantization.fx._decomposed

    with reading(path, BundleError, "is not a program of torch.export", "export it again"):
        program = torch.export.load(path)
    nodes = {node.name: node for node in program.graph.nodes}

    def tensors(names: Iterable[str]) -> list[dict[str, Any]]:
        values = {name: nodes[name].meta["val"] for name in names}
        return [
            {
                "name": name,
                "shape": [d if isinstance(d, int) else None for d in value.shape],
                "dtype": str(value.dtype).removeprefix("torch."),
            }
            for name, value in values.items()
        ]

    signature = program.graph_signature
    return {
        "kind": "program",
        "inputs": tensors(str(n) for n in signature.user_inputs),
        "outputs": tensors(str(n) for n in signature.user_outputs),
        "operators": _histogram(str(n.target) for n in nodes.values() if n.op == "call_function"),
    }


def _histogram(names: Iterable[str]) -> dict[str, int]:
    return dict(collections.Counter(names).most_common())


def _damaged(path: Path, expected: str, reason: object) -> BundleError:
    return BundleError(f"{path} is not {expected}: {reason}; export it again")


def _missing(package: str, path: Path, extra: str = "export") -> MissingDependencyError:
    return MissingDependencyError(
        f"{package} is not installed and reads {path.suffix}; "
        f"in a clone of edgeexpo: pip install '.[{extra}]'"
    )


def readers() -> dict[str, str]:
    """Return the function that reads a file, ``module:function``, by the file's suffix.

    Every target has a suffix. Files with the suffix ``.pt2`` are the programs of a bundle.
    """
    found = {record.suffix: record.reader for record in targets.TARGETS.values()}
    return {**found, ".pt2": f"{__name__}:{program_contents.__name__}"}


def read_contents(path: Path) -> Contents:
    """Return the contents of a file whose suffix is in :func:`readers`.

    Raises:
        BundleError: The file is damaged, or its format does not match its suffix.
        MissingDependencyError: The library that reads the format is not installed.
    """
    with reading(path, BundleError, "cannot be read to its end", "export it again"):
        contents: Contents = resolve(readers()[artifact_suffix(path)])(path)
        return contents


def artifact_suffix(path: Path) -> str:
    """Return the suffix in :func:`readers` with which a file's name ends, the longest one.

    A suffix may end with another, as ``.qnn.onnx`` does. Return ``""`` for any other name.
    """
    return max((s for s in readers() if path.name.endswith(s)), key=len, default="")
