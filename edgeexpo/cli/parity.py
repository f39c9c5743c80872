"""``edgeexpo parity``: compare every artefact of a bundle with the float reference."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexpo.allocator import keep_freed_memory
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Refusal
from edgeexpo.bundle.records import RECORDS
from edgeexpo.cli.arguments import add_engine, add_on, add_selection, one_of
from edgeexpo.cli.output import add_json_argument, emit, table
from edgeexpo.errors import GateError, HostError, MissingDependencyError, UsageError
from edgeexpo.processor import processor_name
from edgeexpo.targets import witness_names
from edgeexpo.writing import check_file

if TYPE_CHECKING:
    from edgeexpo.parity import ArtifactParity, ParityReport

_REFERENCES = ("auto", "cuda", "mps", "xpu", "cpu", "golden")
"""Names that ``--reference`` accepts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help="a folder made by edgeexpo export")
    parser.add_argument(
        "--reference",
        type=one_of(_REFERENCES),
        default="auto",
        help="where the float reference runs: auto (default), cuda, mps, xpu, cpu, "
        "or golden (recorded)",
    )
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="photographs or brackets to compare on (default: the embedded photographs)",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="keep inputs and reference outputs in the bundle, for --reference golden elsewhere",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the verdicts in the folder records of the bundle, with engine, version and host",
    )
    parser.add_argument("--report", metavar="FILE.html", help="write a report with pictures")
    parser.add_argument(
        "--junit", metavar="FILE.xml", help="write the verdict as JUnit XML, which CI systems read"
    )
    parser.add_argument(
        "--gate",
        action="append",
        default=[],
        metavar="GATE",
        help="replace a bound, as in 'psnr>=45'; repeat the option for each bound",
    )
    parser.add_argument(
        "--witness",
        type=one_of(witness_names()),
        help="only compare Core ML artefacts with another conversion of the same program, by "
        f"{' or '.join(witness_names())}; the distance is kept in the bundle's records",
    )
    add_selection(parser)
    add_engine(parser)
    add_on(parser, several=True)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Compare the artefacts with the reference and print the table.

    Raises:
        GateError: An artefact failed a gate.
        UsageError: The options contradict each other.
        HostError: A machine of ``--on`` cannot be reached, or was lost.
        MissingDependencyError: A library that parity needs is not installed.
    """
    keep_freed_memory()
    try:
        from edgeexpo.parity.check import check_parity
        from edgeexpo.parity.gates import parse_gate
        from edgeexpo.parity.records import keep_records
        from edgeexpo.parity.report.html import write_report
        from edgeexpo.parity.report.junit import write_junit
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"parity needs {error.name}, which is not installed; pip install 'edgeexpo[export]'"
        ) from error
    if args.witness:
        return _witness(args)
    if args.record and args.reference == "golden":
        raise UsageError(
            "--reference golden is what --record writes; record with --reference cuda or cpu"
        )
    if args.keep and (args.gate or args.images):
        raise UsageError(
            "--keep is for checks on the bundle's own gates and the embedded photographs; leave "
            "--gate and --images out"
        )
    pages = [Path(file) for file in (args.report, args.junit) if file]
    for page in pages:
        check_file(page, force=True)  # fails before the long comparison, not after it
    bundle = Bundle.open(args.bundle)
    report = check_parity(
        bundle,
        reference=args.reference,
        images=args.images,
        target=args.target,
        precision=args.precision,
        engine=args.engine,
        gates=[parse_gate(text) for text in args.gate],
        on=args.on,
    )
    if args.report:
        write_report(report, Path(args.report), bundle, _command(args, report))
    if args.junit:
        write_junit(report, Path(args.junit))
    kept = keep_records(bundle, report) if args.keep else ()
    recorded = _record(args, bundle) if args.record else None
    document = report.to_dict() | ({} if recorded is None else {"recorded": recorded})
    refused = bundle.manifest.refused
    document |= {"kept": [record.name for record in kept]} if args.keep else {}
    text = _text(report, recorded, refused)
    for record in kept:
        text += f"\nkept {RECORDS}/{record.name}"
    emit(args, document | {"refused": refused}, text)
    if not report:
        failed = ", ".join(a.label for a in report.artifacts if a.status == "failed")
        raise GateError(f"{args.bundle} does not show what the reference shows: {failed}")
    if report.lost:
        raise HostError(f"{report.lost[0].label} was not judged: {report.lost[0].error}")
    return 0


def _witness(args: argparse.Namespace) -> int:
    """Compare artefacts with a witness's conversion, and print how far they are apart."""
    from edgeexpo.parity.witness import compare_with_witness

    others = ("record", "keep", "report", "junit", "gate", "target", "precision", "engine", "on")
    given = [name for name in others if getattr(args, name)]
    if given:
        raise UsageError(f"--witness gives no verdict; leave --{given[0]} out")
    found = compare_with_witness(Bundle.open(args.bundle), args.witness, args.images)
    emit(
        args,
        {"witnesses": [dataclasses.asdict(comparison) for comparison in found]},
        "\n".join(comparison.line for comparison in found),
    )
    if differing := [comparison.file for comparison in found if not comparison.agrees]:
        raise GateError(
            f"{', '.join(differing)} and {args.witness}'s conversion of the same program differ"
        )
    return 0


def _command(args: argparse.Namespace, report: ParityReport) -> list[str]:
    """Return the arguments that repeat this check, with the device that ``auto`` stood for."""
    reference = report.reference.device if args.reference == "auto" else args.reference
    words = ["parity", args.bundle, "--reference", reference]
    for option in ("images", "target", "precision", "engine", "report"):
        value = getattr(args, option)
        words += [f"--{option}", value] if value else []
    for gate in args.gate:
        words += ["--gate", gate]
    for address in args.on:
        words += ["--on", address]
    return words


def _place(result: ArtifactParity) -> dict[str, Any]:
    """Return the cells of a row that say where and by what an artefact was run."""
    host, engine = result.host, result.verified_by
    if host is None:
        return {"on": "here", "processor": processor_name(), "engine": engine, "ms": None}
    named = f"{engine} {host.version}" if engine else None
    return {"on": host.name, "processor": host.processor, "engine": named, "ms": host.ms}


def _record(args: argparse.Namespace, bundle: Bundle) -> dict[str, Any]:
    """Record the reference on the photographs and the probes in the bundle.

    Returns:
        The facts of the record: its device, and the numbers of photographs and probes.
    """
    from edgeexpo.imaging.samples import samples
    from edgeexpo.parity.golden import replace_golden
    from edgeexpo.parity.recording import compared_with_cpu, record, recorded_probes
    from edgeexpo.parity.reference import choose_device

    manifest = bundle.manifest
    images = None if args.images is None else Path(args.images)
    photographs = samples(len(manifest.model.frames), images, manifest.recipe.size)
    device = choose_device(args.reference)
    golden = record(bundle, device, photographs, recorded_probes(bundle))
    if device != "cpu":
        golden, _ = compared_with_cpu(bundle, golden)
    replace_golden(bundle, golden)
    return {
        "device": dataclasses.asdict(golden.device),
        "photographs": len(photographs),
        "probes": len(golden.probes),
    }


def _text(
    report: ParityReport, recorded: Mapping[str, Any] | None, refused: Sequence[Refusal]
) -> str:
    elsewhere = any(a.host for a in report.artifacts)
    rows = [
        {
            "file": a.file,
            **(_place(a) if elsewhere else {"verified by": a.verified_by}),
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
        *(f"{a.label}: {a.error}" for a in report.artifacts if a.error),
        *(f"not made by the export: {refusal}" for refusal in refused),
        *(
            f"{' and '.join(row['files'])} agree at {row['psnr']:.1f} dB, "
            f"{row['steps_max']:.2g} steps at most"
            for row in report.agreement
        ),
    ]
    if recorded is not None:
        facts = "; ".join(f"{k} {v}" for k, v in recorded["device"]["details"].items())
        lines.append(
            f"recorded {recorded['photographs']} photographs and {recorded['probes']} probes on "
            f"{recorded['device']['device']} ({facts})"
        )
    return "\n".join(lines)
