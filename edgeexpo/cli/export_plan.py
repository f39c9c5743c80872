"""Words of ``edgeexpo export --dry-run``: what an export would do."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edgeexpo.cli.output import emit, human_bytes, table
from edgeexpo.errors import ExistingOutputError, ExportError
from edgeexpo.spec import SizeRange, TensorSpec, to_json

if TYPE_CHECKING:
    from edgeexpo.workflows.plan_result import ExportPlan

MOST_LINES = 40
"""Largest number of lines of the user's code that the text shows. JSON has all of them."""


def show_plan(args: argparse.Namespace, plan: ExportPlan) -> int:
    """Print a plan and return exit code 0.

    Raises:
        ExportError: Something would be refused.
        ExistingOutputError: The bundle's folder is taken.
    """
    emit(args, _document(plan), _text(plan))
    if plan.refused:
        names = ", ".join(f"{r.target} {r.precision}" for r in plan.refused)
        every = len(plan.refused) + len(plan.artifacts)
        raise ExportError(f"{len(plan.refused)} of {every} artefacts would be refused: {names}")
    if plan.blocked is not None:
        raise ExistingOutputError(plan.blocked)
    return 0


def _document(plan: ExportPlan) -> dict[str, Any]:
    document: dict[str, Any] = {"dry_run": True, **to_json(plan)}
    document["footprint"]["scale"] = float(plan.footprint.scale)
    document["artifacts"] = [
        {
            "file": p.artifact.file,
            "target": p.artifact.target,
            "precision": p.artifact.precision,
            "bytes": p.artifact.bytes,
            "sizes": to_json(p.artifact.sizes),
            "float_operators": dict(p.artifact.float_operators),
            "integer_weighted": p.integer,
            "float_weighted": p.floating,
            "portable_share": p.portable,
            "notes": list(p.notes),
        }
        for p in plan.artifacts
    ]
    return document


def _text(plan: ExportPlan) -> str:
    height, width = plan.size
    lines = [f"{plan.model} at {height}x{width}: a dry run, nothing is written or verified", ""]
    lines += [f"input     {_tensor(spec)}" for spec in plan.inputs]
    lines += [f"output    {_tensor(spec)}{_scale(spec)}" for spec in plan.outputs]
    lines.append(f"pictures  {_pictures(plan)}")
    if plan.integer_share is not None:
        lines.append(f"INT8      {plan.integer_share:.0%} of the multiplications on integers")
    lines += ["", _table(_rows(plan), ("target", "precision", "result", *_COLUMNS)), ""]
    lines += [f"refused: {text}" for text in _refusals(plan)]
    lines += [""] * bool(plan.refused)
    lines += _by_line(plan)
    lines += _notes(plan)
    lines += [""] * bool(_notes(plan))
    lines.append(f"{_verdict(plan)} (dry run of {plan.seconds:.0f} s)")
    return "\n".join(lines)


_COLUMNS = ("bytes", "takes pictures of", "INT8 convs", "float convs", "on slow kernels")
"""Columns of the table of artefacts after the first three. Those without a value are left out."""


def _rows(plan: ExportPlan) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for planned in plan.artifacts:
        artifact = planned.artifact
        integer = artifact.precision == "int8"
        rows.append(
            [
                artifact.target,
                artifact.precision,
                "ok",
                human_bytes(artifact.bytes),
                _sizes(artifact.sizes),
                planned.integer if integer else None,
                planned.floating if integer else None,
                f"{planned.portable:.0%}" if planned.portable else None,
            ]
        )
    return rows + [[r.target, r.precision, "refused", *[None] * 5] for r in plan.refused]


def _table(rows: list[list[Any]], columns: Sequence[str]) -> str:
    """Lay out the columns that hold a value."""
    kept = [i for i in range(len(columns)) if any(row[i] is not None for row in rows)]
    return table([[row[i] for i in kept] for row in rows], [columns[i] for i in kept])


def _refusals(plan: ExportPlan) -> Iterator[str]:
    """Yield each reason once, with the artefacts that it stops."""
    by_reason: dict[str, list[str]] = {}
    for refusal in plan.refused:
        by_reason.setdefault(refusal.reason, []).append(f"{refusal.target} {refusal.precision}")
    for reason, names in by_reason.items():
        yield f"{_joined(names)}: {reason}"


def _by_line(plan: ExportPlan) -> list[str]:
    """Return the table of operators by line of code. Refusals of one operator share a row."""
    shared: dict[tuple[str, str, str, str], list[str]] = {}
    for line in plan.lines:
        why = "as said above" if line.effect == "refused" else line.reason
        key = (line.source or "unknown", line.operator or "unknown", line.effect, why)
        shared.setdefault(key, []).extend(line.artifacts)
    if not shared:
        return []
    rows = [[*key[:3], _joined(where), key[3]] for key, where in shared.items()]
    lines = [table(rows[:MOST_LINES], ("line", "operator", "is", "in", "why"))]
    if len(rows) > MOST_LINES:
        lines.append(f"... {len(rows) - MOST_LINES} more (--json shows all)")
    return [*lines, ""]


def _joined(names: Sequence[str]) -> str:
    """Write ``onnx int8, fp32`` for ``onnx int8`` and ``onnx fp32``."""
    by_target: dict[str, list[str]] = {}
    for name in names:
        target, _, precision = name.rpartition(" ")
        by_target.setdefault(target, []).append(precision)
    return "; ".join(f"{t} {', '.join(ps)}".strip() for t, ps in by_target.items())


def _tensor(spec: TensorSpec) -> str:
    low, high = spec.value_range
    size = "HxW" if spec.size is None else "x".join(map(str, spec.size))
    color = "" if spec.color == "none" else f", {spec.color}"
    return f"{spec.name}: 1x{spec.channels}x{size}{color}, {low:g} to {high:g}"


def _scale(spec: TensorSpec) -> str:
    return "" if spec.scale == 1 else f", {spec.scale:g} times the picture's size"


def _pictures(plan: ExportPlan) -> str:
    footprint, size = plan.footprint, "x".join(map(str, plan.size))
    steps = "" if footprint.multiple == 1 else f", in multiples of {footprint.multiple}"
    if plan.tiled:
        return f"in tiles of at most {size}: halo {footprint.halo}, grid {footprint.cell}{steps}"
    if plan.applied_at_full_size:
        return f"a copy of at most {size}, whose change is applied at full size"
    return f"whole, at most {size}{steps}; the network looks at the whole picture"


def _sizes(sizes: SizeRange) -> str:
    if sizes.enumerated:
        return ", ".join("x".join(map(str, size)) for size in sizes.enumerated)
    low, high = ("x".join(map(str, size)) for size in (sizes.smallest, sizes.largest))
    return f"{high} alone" if low == high else f"{low} to {high}"


def _notes(plan: ExportPlan) -> list[str]:
    """Return what was said, about the network and about artefacts, each once."""
    by_text: dict[str, list[str]] = {text: [] for text in plan.notes}
    for planned in plan.artifacts:
        for text in planned.notes:
            named = f"{planned.artifact.target} {planned.artifact.precision}"
            by_text.setdefault(text, []).append(named)
    return [f"{_joined(names) or 'note'}: {text}" for text, names in by_text.items()]


def _verdict(plan: ExportPlan) -> str:
    if plan.refused:
        every = len(plan.refused) + len(plan.artifacts)
        return f"export would write {len(plan.artifacts)} of {every} artefacts"
    if plan.blocked is not None:
        return f"export would stop: {plan.blocked}"
    return f"export would write all {len(plan.artifacts)} artefacts"
