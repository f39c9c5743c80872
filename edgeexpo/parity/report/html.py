"""The parity report: one HTML file that opens offline, verdicts first, then the worst pictures."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import STATUSES
from edgeexpo.errors import MissingDependencyError
from edgeexpo.parity.cases import PHOTOGRAPH, PROBE
from edgeexpo.parity.provenance import Provenance, provenance
from edgeexpo.parity.report.pictures import Shrink, picture_facts
from edgeexpo.parity.report.words import engine_words, figure, heading, in_words, number_text
from edgeexpo.parity.verdict import ArtifactParity, ParityReport
from edgeexpo.writing import write_file

REPORT = "report.html"
"""File name of the report inside a bundle."""

LARGEST_PAGE = 5_000_000
"""Largest size of a report, in bytes."""

MOST_SATURATED = 12
"""Number of layers that the table of saturation shows."""

SHRINKS = (
    (24, Shrink(768, 85)),
    (24, Shrink(512, 80)),
    (24, Shrink(384, 75)),
    (12, Shrink(256, 60)),
    (4, Shrink(192, 50)),
)
"""Number and size of the pictures, tried in turn until the page is under :data:`LARGEST_PAGE`."""

_MOST_ROWS = 50
_VERDICT_COLUMNS = ("psnr", "ssim", "delta_e_p99", "max_abs", "psnr_quantized")
_KINDS = {PHOTOGRAPH: "Photographs", PROBE: "Probes"}
_NOT_METRICS = ("name", "kind")


def write_report(
    report: ParityReport, path: Path, bundle: Bundle, command: Sequence[str] | None = None
) -> None:
    """Write ``report`` as one self-contained HTML file of at most 5 MB.

    Args:
        report: The result of the check.
        path: The file.
        bundle: The checked bundle, for digests, versions and bounds.
        command: The arguments of ``edgeexpo``, if the check came from the command line.

    Raises:
        OutputError: The file cannot be written.
        MissingDependencyError: Jinja2 is not installed.
    """
    facts = _context(report, provenance(bundle, command))
    for most, shrink in SHRINKS:
        pictures = list(islice(_pictures(report, shrink), most))
        page = _render({**facts, "pictures": pictures}).encode()
        if len(page) <= LARGEST_PAGE:
            break
    write_file(path, page)


def _render(context: Mapping[str, Any]) -> str:
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError(
            "the report needs jinja2, which is not installed; pip install 'edgeexpo[export]'"
        ) from error
    page = resources.files("edgeexpo.parity.report") / "page"
    css, js = (page.joinpath(f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.globals |= {
        "css": _Raw(css),
        "js": _Raw(js),
        "css_hash": _hash(css),
        "js_hash": _hash(js),
    }
    template = environment.from_string(page.joinpath("report.html").read_text("utf-8"))
    return template.render(context).lstrip()


class _Raw(str):
    """Text of this package that the template inserts without escaping."""

    def __html__(self) -> str:
        return self


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _context(report: ParityReport, origin: Provenance) -> dict[str, Any]:
    ordered = _worst_first(report.artifacts)
    columns = [c for c in _VERDICT_COLUMNS if any(c in a.worst for a in ordered)]
    floor = report.noise_floor
    return {
        "model": report.model,
        "verdict": _verdict(report),
        "summary": _summary(report),
        "reference": _reference(report),
        "photographs": sum(row["kind"] == PHOTOGRAPH for row in _most_rows(ordered)),
        "noise_floor": None if floor is None else number_text(floor),
        "verdict_columns": [heading(c) for c in columns],
        "artifacts": [_artifact(a, columns) for a in ordered],
        "failures": [
            {"file": a.label, "lines": _failure(a)} for a in ordered if a.status == "failed"
        ],
        "explained": [
            {"file": a.label, "words": in_words(gate)["words"]}
            for a in ordered
            for gate in a.explained_gates
        ],
        "saturation": _saturation(report),
        "agreement": _agreement(report),
        "engines": [*_engines(ordered), *_not_run(ordered)],
        "command": origin.command,
        "facts": [*origin.facts, *_machines(report)],
        "versions": _plain("library", ("exported with", "checked with"), origin.versions),
        "digests": origin.digests,
        "bounds": _plain("precision", ("gate",), origin.bounds),
    }


def _saturation(report: ParityReport) -> dict[str, Any] | None:
    rows = [
        (s.layer, s.picture, f"{s.share:.2%}", f"{s.reach:.3g}")
        for s in report.saturation[:MOST_SATURATED]
    ]
    columns = ("most in", "of its values", "times the range, at most")
    return _plain("layer", columns, rows) if rows else None


def _verdict(report: ParityReport) -> str:
    if not report.passed:
        return "failed"
    return "unverified" if any(a.status == "unverified" for a in report.artifacts) else "passed"


def _summary(report: ParityReport) -> str:
    found = [a.status for a in report.artifacts]
    counts = [f"{found.count(s)} {s}" for s in reversed(STATUSES) if s in found]
    artefacts = "artefact" if len(found) == 1 else "artefacts"
    return f"{len(found)} {artefacts}: {', '.join(counts)}."


def _reference(report: ParityReport) -> str:
    device = report.reference
    details = "".join(
        f"; {name} {value}" for name, value in device.details.items() if value not in device.name
    )
    place = f"{device.device} ({device.name}){details}"
    return f"Reference: the float program, {device.dtype}, on {place}."


def _worst_first(artifacts: Sequence[ArtifactParity]) -> list[ArtifactParity]:
    return sorted(artifacts, key=lambda a: (STATUSES.index(a.status), a.worst.get("psnr", 0.0)))


def _most_rows(artifacts: Sequence[ArtifactParity]) -> Sequence[Mapping[str, Any]]:
    return max((a.per_input for a in artifacts), key=len, default=())


def _failure(artifact: ArtifactParity) -> list[dict[str, str]]:
    if not artifact.failed_gates:
        reason = artifact.error or "no reason was given"
        return [{"words": reason, "short": reason, "meaning": ""}]
    lines = [in_words(gate) for gate in artifact.failed_gates]
    said: set[str] = set()
    for line in lines:  # each meaning is shown once
        if line["meaning"] in said:
            line["meaning"] = ""
        said.add(line["meaning"])
    return lines


def _artifact(artifact: ArtifactParity, columns: Sequence[str]) -> dict[str, Any]:
    failed = _failed_metrics(artifact)
    return {
        "file": artifact.label,
        "id": "".join(c if c.isalnum() else "-" for c in artifact.label),
        "status": artifact.status,
        "error": artifact.error,
        "reason": _failure(artifact)[0]["short"] if artifact.status == "failed" else "",
        "engine": _engine_name(artifact),
        "cells": [
            {"text": number_text(artifact.worst.get(c)), "bad": (PHOTOGRAPH, c) in failed}
            for c in columns
        ],
        "tables": [
            _table(artifact, kind, failed)
            for kind in _KINDS
            if any(row["kind"] == kind for row in artifact.per_input)
        ],
    }


def _failed_metrics(artifact: ArtifactParity) -> set[tuple[str, str]]:
    """Return (kind of picture, metric) of every gate that does not hold."""
    found = set()
    for gate in artifact.failed_gates:
        kind = PROBE if " on a probe" in gate else PHOTOGRAPH
        metric = gate.replace("<", ">").partition(">")[0]
        suffix = "_quantized" if "against the quantized " in gate else ""
        found.add((kind, metric + suffix))
    return found


def _table(artifact: ArtifactParity, kind: str, failed: set[tuple[str, str]]) -> dict[str, Any]:
    rows = [row for row in artifact.per_input if row["kind"] == kind]
    rows.sort(key=lambda row: float(row.get("psnr", 0.0)))
    found = dict.fromkeys(k for row in rows for k in row if k not in _NOT_METRICS)
    columns = sorted(
        found,
        key=lambda c: (
            (kind, c) not in failed,
            c not in _VERDICT_COLUMNS,
            not any(row.get(c) for row in rows),
        ),
    )
    shown = f": {_MOST_ROWS} of {len(rows)}" if len(rows) > _MOST_ROWS else ""
    extreme = artifact.worst_probe if kind == PROBE else artifact.worst
    return {
        "title": f"{_KINDS[kind]}, worst first{shown}",
        "heading": "picture",
        "columns": [heading(c) for c in columns],
        "rows": [
            {
                "name": row["name"],
                "cells": [
                    {
                        "text": number_text(row.get(c)),
                        "bad": (kind, c) in failed and row.get(c) == extreme.get(c),
                    }
                    for c in columns
                ],
            }
            for row in rows[:_MOST_ROWS]
        ],
    }


def _agreement(report: ParityReport) -> dict[str, Any]:
    keys = dict.fromkeys(k for row in report.agreement for k in row if k != "files")
    columns = [k for k in keys if k != "precision"]
    rows = [
        (" and ".join(row["files"]), *(number_text(row.get(c)) for c in columns))
        for row in report.agreement
    ]
    return _plain("artefacts", [heading(c) for c in columns], rows)


def _plain(first: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {
        "heading": first,
        "columns": list(columns),
        "rows": [
            {
                "name": row[0],
                "cells": [{"text": t or "\N{EN DASH}", "bad": False} for t in row[1:]],
            }
            for row in rows
        ],
    }


def _engines(artifacts: Sequence[ArtifactParity]) -> Iterator[dict[str, str]]:
    """Yield what a run by each engine proves, once for each machine."""
    found = {(a.verified_by, a.host.name if a.host else "") for a in artifacts if a.verified_by}
    for name, machine in sorted(found):
        words = engine_words(name)
        if machine:
            yield {"name": f"{name} on {machine}", "words": words.replace("this host", machine)}
        else:
            yield {"name": name, "words": words}


def _machines(report: ParityReport) -> Iterator[tuple[str, str]]:
    """Yield the facts of the other machines that ran artefacts."""
    hosts = {a.host.name: a.host for a in report.artifacts if a.host is not None}
    for name, host in hosts.items():
        features = " ".join(host.features) or "no INT8 features known"
        yield f"Machine {name}", f"{host.os}, {host.processor}, {features}"


def _engine_name(artifact: ArtifactParity) -> str:
    if artifact.verified_by is None:
        return "not run" if artifact.host else "not run on this host"
    if artifact.host is None:
        return artifact.verified_by
    return f"{artifact.verified_by} {artifact.host.version}"


def _not_run(artifacts: Sequence[ArtifactParity]) -> Iterator[dict[str, str]]:
    for artifact in artifacts:
        if artifact.verified_by is None:
            yield {
                "name": f"{artifact.label}: not run",
                "words": artifact.error or "No engine for it was found on this host.",
            }


def _pictures(report: ParityReport, shrink: Shrink) -> Iterator[dict[str, Any]]:
    cases = {case.name: case for case in report.cases}
    for artifact in _worst_first(report.artifacts):
        for row in _worth_showing(artifact):
            case, output = cases.get(row["name"]), artifact.outputs.get(row["name"])
            if case is None or output is None or output.shape[2] not in (1, 3):
                continue
            yield {
                "file": artifact.label,
                "status": artifact.status,
                "name": row["name"],
                "kind": row["kind"].capitalize(),
                "facts": ", ".join(figure(c, row[c]) for c in _VERDICT_COLUMNS if c in row),
                **picture_facts(case.reference, output, shrink),
            }


def _worth_showing(artifact: ArtifactParity) -> list[Mapping[str, Any]]:
    """Return the worst pictures of an artefact.

    A failed artefact shows its two worst photographs and its worst probe, another artefact its
    worst photograph.
    """
    failed = artifact.status == "failed"
    chosen: list[Mapping[str, Any]] = []
    for kind, count in ((PHOTOGRAPH, 2 if failed else 1), (PROBE, 1 if failed else 0)):
        rows = [
            r for r in artifact.per_input if r["kind"] == kind and r["name"] in artifact.outputs
        ]
        chosen += sorted(rows, key=lambda row: float(row["psnr"]))[:count]
    return sorted(chosen, key=lambda row: float(row["psnr"]))
