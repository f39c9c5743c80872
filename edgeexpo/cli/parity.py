"""``edgeexpo parity``: every artefact of a bundle against the reference."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgeexpo.cli.arguments import add_selection, one_of
from edgeexpo.cli.output import add_json_argument, emit, table
from edgeexpo.errors import GateError, MissingDependencyError

if TYPE_CHECKING:
    from edgeexpo.parity import ParityReport

REFERENCES = ("auto", "cuda", "cpu", "golden")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help="a folder made by edgeexpo export")
    parser.add_argument(
        "--reference",
        type=one_of(REFERENCES),
        default="auto",
        help="where the float reference runs: auto (default), cuda, cpu, or golden (recorded)",
    )
    parser.add_argument(
        "--images", metavar="DIR", help="photographs or brackets; else the embedded photographs"
    )
    parser.add_argument("--report", metavar="FILE.html", help="write a report with pictures")
    parser.add_argument(
        "--gate",
        action="append",
        default=[],
        metavar="GATE",
        help="replace a bound, as in 'psnr>=45'; repeat it for each",
    )
    add_selection(parser)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Compare, print the table, and answer for what the gates said."""
    try:
        from edgeexpo.parity.check import check_parity
        from edgeexpo.parity.gates import parse_gate
        from edgeexpo.parity.report import write_report
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"parity needs {error.name}, which is not installed; pip install 'edgeexpo[export]'"
        ) from error
    report = check_parity(
        args.bundle,
        reference=args.reference,
        images=args.images,
        target=args.target,
        precision=args.precision,
        gates=[parse_gate(text) for text in args.gate],
    )
    if args.report:
        write_report(report, Path(args.report))
    emit(args, report.to_dict(), _text(report))
    if not report:
        failed = ", ".join(a.file for a in report.artifacts if a.status == "failed")
        raise GateError(f"{args.bundle} does not show what the reference shows: {failed}")
    return 0


def _text(report: ParityReport) -> str:
    rows = [
        {
            "file": a.file,
            "verified by": a.verified_by,
            "PSNR dB": a.worst.get("psnr"),
            "SSIM": a.worst.get("ssim"),
            "max abs": a.worst.get("max_abs"),
            "dE2000 p99": a.worst.get("delta_e_p99"),
            "correction dB": a.total.get("correction_snr"),
            "probes dB": a.worst_probe.get("psnr"),
            "verdict": a.status,
        }
        for a in report.artifacts
    ]
    device = report.reference
    lines = [
        f"reference: float program on {device.device} ({device.name}); worst photograph",
        table(rows, list(rows[0])),
        *(f"{a.file}: {a.error}" for a in report.artifacts if a.error),
        *(
            f"{' and '.join(row['files'])} agree at {row['psnr']:.1f} dB"
            for row in report.agreement
        ),
    ]
    return "\n".join(lines)
