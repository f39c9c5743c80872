"""The words of ``evaluate --looks``: a table for each network, and what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeexpo.cli.output import table

if TYPE_CHECKING:
    from edgeexpo.evaluation.evaluate import Evaluation
    from edgeexpo.evaluation.looks.report import LooksReport, LookVerdict

COLUMNS = ("look", "value", "bound", "unit", "worst picture", "n", "failed", "verdict")
"""Headings of the table."""


def looks_text(result: Evaluation, per_scene: bool) -> str:
    """Write the reports of an evaluation for a person.

    Args:
        result: Evaluation by looks.
        per_scene: True to also write the values of each picture.
    """
    lines: list[str] = []
    for report in result.looks:
        if per_scene:
            lines += [_pictures(report), ""]
        lines += [_rows(report), _verdict(report), ""]
    return "\n".join([*lines[:-1], *skipped_lines(result)])


def skipped_lines(result: Evaluation) -> list[str]:
    """Return a line about the files that could not be read, if there are any."""
    if not result.skipped:
        return []
    return [f"{len(result.skipped)} file(s) skipped: {', '.join(result.skipped)}"]


def _rows(report: LooksReport) -> str:
    return table([_cells(row) for row in report.rows], COLUMNS)


def _cells(row: LookVerdict) -> list[Any]:
    bound = f"{'>=' if row.at_least else '<='} {row.bound:g}"
    verdict = {True: "pass", False: "FAIL", None: "not measured"}[row.passed]
    return [row.look, row.value, bound, row.unit, row.picture, row.pictures, row.failed, verdict]


def _verdict(report: LooksReport) -> str:
    head = f"{report.model} ({report.target} {report.precision})"
    failed = [row.title for row in report.rows if row.passed is False]
    if failed:
        return f"{head} fails {len(failed)} of {len(report.rows)} looks: {'; '.join(failed)}"
    return f"{head} passes all looks that were measured"


def _pictures(report: LooksReport) -> str:
    names = [row.look for row in report.rows]
    cells = [
        [found.picture, *(found.values.get(name) for name in names)] for found in report.pictures
    ]
    return table(cells, ["picture", *names])
