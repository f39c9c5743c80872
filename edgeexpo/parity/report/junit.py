"""The verdict as JUnit XML, which every CI shows: one test case per artefact."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from edgeexpo.parity.report.words import in_words
from edgeexpo.parity.verdict import ArtifactParity, ParityReport
from edgeexpo.writing import write_file

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def properties(artifact: ArtifactParity) -> dict[str, str]:
    """Return the facts of ``artifact`` for a CI: its engine and its worst photograph's metrics."""
    facts = {
        "target": artifact.target,
        "precision": artifact.precision,
        "status": artifact.status,
        "verified_by": artifact.verified_by or "",
    }
    return facts | {name: f"{value:.6g}" for name, value in artifact.worst.items()}


def write_junit(report: ParityReport, path: Path) -> None:
    """Write ``report`` as JUnit XML: a failed artefact fails, an unverified artefact is skipped.

    Raises:
        OutputError: The file cannot be written.
    """
    suite = ElementTree.Element(
        "testsuite",
        name=f"edgeexpo parity {report.model}",
        tests=str(len(report.artifacts)),
        failures=str(sum(a.status == "failed" for a in report.artifacts)),
        errors="0",
        skipped=str(sum(a.status == "unverified" for a in report.artifacts)),
    )
    for artifact in report.artifacts:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"edgeexpo.parity.{report.model}", name=artifact.label
        )
        kept = ElementTree.SubElement(case, "properties")
        for name, value in properties(artifact).items():
            ElementTree.SubElement(kept, "property", name=name, value=value)
        if artifact.status == "failed":
            lines = [in_words(gate)["words"] for gate in artifact.failed_gates]
            reason = _clean("\n".join(lines) or artifact.error or "")
            message = reason.partition("\n")[0]
            ElementTree.SubElement(case, "failure", message=message).text = reason
        elif artifact.status == "unverified":
            ElementTree.SubElement(case, "skipped", message=_clean(artifact.error or "not run"))
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    write_file(path, ElementTree.tostring(suites, "utf-8", xml_declaration=True))


def _clean(text: str) -> str:
    """Replace control characters that XML cannot express; an engine's message may contain them."""
    return _NOT_XML.sub("?", text)
