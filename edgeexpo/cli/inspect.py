"""``edgeexpo inspect``: show what an artefact or a bundle contains."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edgeexpo import targets
from edgeexpo.cli.output import add_json_argument, emit, human_bytes, table
from edgeexpo.errors import BundleError
from edgeexpo.inspection.contents import readers
from edgeexpo.workflows.inspect import inspect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "file", type=Path, help=f"a bundle's folder, or a file: {', '.join(readers())}"
    )
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Print the contents of ``args.file`` and return the exit code.

    The exit code is 2 when a file of the bundle was changed or is missing, else 0.

    Raises:
        UsageError: There is no such file, or its format is unknown.
        BundleError: The file or the bundle is damaged.
    """
    found = inspect(args.file)
    document = dict(found.document)
    emit(args, document, _bundle_text(document) if found.is_bundle else _file_text(document))
    return 0 if found else BundleError.exit_code


def _bundle_text(document: dict[str, Any]) -> str:
    model, recipe, parity = (document[k] for k in ("model", "recipe", "parity"))
    rows = [
        {**a, "size": human_bytes(a["bytes"]), "accepts": _sizes(a["sizes"])}
        for a in document["artifacts"]
    ]
    columns = ["file", "target", "precision", "size", "accepts", "status", "verified_by", "intact"]
    lines = [
        f"{document['bundle']}: {model['name']}, {model['task']}",
        f"frames {', '.join(model['frames'])} in {document['frame_format']}, "
        f"pictures in {document['output_format']}",
        f"calibrated on {recipe['calibration']}; "
        f"weights {(document['weights_sha256'] or 'made in memory')[:14]}",
        "made with " + ", ".join(f"{k} {v}" for k, v in document["tools"].items()),
        "",
        table(rows, columns),
        *(
            f"{a['file']} for {a['soc']}: the HTP takes {_inline(a['npu_operators'])}; "
            f"compiled for it: {a['compiled']}"
            for a in document["artifacts"]
            if a["compiled"]
        ),
        *(
            f"not made: {refusal['target']} {refusal['precision']}: {refusal['reason']}"
            for refusal in document["refused"]
        ),
        *(
            f"{record['file']} in {record['engine']} {record['version']} on {record['processor']}: "
            f"{record['status']}{_reason(record)}"
            for record in document["records"]
        ),
        "",
        f"parity: {_parity(parity)}",
    ]
    return "\n".join([*lines, *document["damaged"].values()])


def _reason(record: dict[str, Any]) -> str:
    return f"; {record['error']}" if record["error"] else ""


def _parity(parity: dict[str, Any]) -> str:
    if parity["passed"] is None:
        return "never checked"
    reference = parity["reference"] or {}
    against = reference.get("name") or reference.get("device") or "an unnamed reference"
    return f"{'passed' if parity['passed'] else 'failed'} against {against}"


def _sizes(sizes: dict[str, Any]) -> str:
    if sizes["enumerated"]:
        return " ".join(f"{h}x{w}" for h, w in sizes["enumerated"])
    (small_h, small_w), (large_h, large_w) = sizes["smallest"], sizes["largest"]
    if (small_h, small_w) == (large_h, large_w):
        return f"{large_h}x{large_w}"
    return f"{small_h}x{small_w} to {large_h}x{large_w}"


def _file_text(document: dict[str, Any]) -> str:
    lines = [f"{document['file']}: {document['kind']}, {human_bytes(document['bytes'])}"]
    for side in ("inputs", "outputs"):
        for tensor in document[side]:
            shape = "x".join("?" if d is None else str(d) for d in tensor["shape"])
            bound = " at most" if tensor.get("upper_bound") else ""
            lines.append(f"{side[:-1]} {tensor['name'] or ''} {shape}{bound} {tensor['dtype']}")
    for key in ("opset", "convolution_precision", "delegate_calls", "weights_bytes"):
        if key in document:
            lines.append(f"{key.replace('_', ' ')}: {_inline(document[key])}")
    for delegate in document.get("delegates", ()):
        inside = _inline(delegate["operators"]) if delegate["operators"] else "not readable"
        lines.append(f"inside {delegate['id']}: {inside}")
    if document.get("delegated_share") is not None:
        lines.append(f"delegated share: {document['delegated_share']:.1%} of the operators")
    record = targets.TARGETS.get(document["kind"])
    name = record.operators_title if record else "operators"
    lines.append(f"{name}: {_inline(document['operators']) or 'none'}")
    lines += _assignment_text(document.get("chip"), document.get("assignment"))
    return "\n".join([*lines, *_engine_text(document.get("engine_graph"))])


def _assignment_text(chip: str | None, assignment: dict[str, Any] | None) -> list[str]:
    if assignment is None:
        return []
    if "error" in assignment:
        return [f"what the HTP takes is not known: {assignment['error']}"]
    return [
        f"on the HTP of {chip}: {_inline(assignment['htp']) or 'nothing'}",
        f"not on the HTP: {_inline(assignment['elsewhere']) or 'nothing'}",
    ]


def _engine_text(graph: dict[str, Any] | None) -> list[str]:
    if graph is None:
        return []
    if "error" in graph:
        return [f"what the engine runs is not known: {graph['error']}"]
    return [
        f"{graph['engine']} runs on integers: {_inline(graph['integer']) or 'nothing'}",
        f"{graph['engine']} runs in float: {_inline(graph['floating']) or 'nothing'}",
        f"conversions between the two: {graph['conversions']}",
    ]


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return str(value)
