"""Judge the shipped networks on Qualcomm's HTP emulator, in INT8 and A16W8.

    python benchmarks/htp.py [--size H,W] [--soc CHIP] [--photographs] [NAME ...]

Each network has a row. It is exported at one size, 128x128 by default, and judged on the embedded
photographs and on probes of 128 pixels. The columns are:

- PSNR in dB of the worst photograph against the float network: ONNX Runtime's INT8, the HTP's INT8
  and the HTP's A16W8;
- PSNR in dB of the worst photograph of A16W8 against the INT8 weights with float activations;
- the number of photographs on which A16W8 is nearer to float than the HTP's INT8;
- the verdicts of the gates on the HTP's INT8 and A16W8, with the first gate that failed.

A large network takes minutes, because the emulator is slow. With ``--photographs`` there are no
probes, and the verdicts are those on the photographs alone.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeexpo.cli.arguments import size
from edgeexpo.errors import EdgeexpoError
from edgeexpo.models import zoo
from edgeexpo.parity import cases, recording
from edgeexpo.workflows.export import export_bundle

PROBE_SIDE = 128
"""Side of the probes in pixels. At the lab's 256 pixels the emulator takes four times as long."""

PRECISIONS = ("int8", "a16w8")
"""Precisions that the HTP computes."""


def row(name: str, picture: tuple[int, int], soc: str | None) -> str:
    """Return the table's row of a network."""
    with tempfile.TemporaryDirectory() as folder:
        onnx = export_bundle(name, targets="onnx", size=picture, output=Path(folder) / "onnx")
        htp = export_bundle(
            name,
            targets="qnn",
            precision=PRECISIONS,
            size=picture,
            soc=soc,
            output=Path(folder) / "qnn",
        )
        (ort,) = onnx.manifest.parity["artifacts"]
        found = {a["precision"]: a for a in htp.manifest.parity["artifacts"]}
        refused = {r.precision: r.reason for r in htp.manifest.refused}
    worst = [_worst(ort), *(_worst(found.get(p)) for p in PRECISIONS)]
    apart = (found.get("a16w8") or {"worst": {}})["worst"].get("psnr_quantized", float("nan"))
    shown = " | ".join(f"{value:.1f}" for value in (*worst, apart))
    verdicts = " | ".join(_verdict(found.get(p), refused.get(p)) for p in PRECISIONS)
    return f"| {name} | {shown} | {_nearer(found)} | {verdicts} |"


def _worst(artifact: Mapping[str, Any] | None) -> float:
    return float(artifact["worst"].get("psnr", float("nan"))) if artifact else float("nan")


def _nearer(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return on how many photographs A16W8 is nearer to float than INT8."""
    rows = [
        {r["name"]: r["psnr"] for r in found[p]["per_input"] if r["kind"] == cases.PHOTOGRAPH}
        for p in PRECISIONS
        if p in found
    ]
    if len(rows) < len(PRECISIONS):
        return ""
    return f"{sum(rows[1][name] > rows[0][name] for name in rows[0])} of {len(rows[0])}"


def _verdict(artifact: Mapping[str, Any] | None, refusal: str | None) -> str:
    if artifact is None:
        return f"not made: {refusal}"
    failed = artifact["failed_gates"] or ([artifact["error"]] if artifact["error"] else [])
    return f"{artifact['status']}{f': {failed[0]}' if failed else ''}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--size", type=size, default=(128, 128), help="H,W (default: 128,128)")
    parser.add_argument("--soc", metavar="CHIP")
    parser.add_argument("--photographs", action="store_true", help="leave the probes out")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for module in (cases, recording):
        module.PROBE_SIDE = PROBE_SIDE  # type: ignore[attr-defined]
    if args.photographs:
        for name in ("_generated", "_second_size", "_drawn_sizes"):
            setattr(cases, name, lambda *_: [])
    print("| network | ORT INT8 | HTP INT8 | A16W8 | to its weights | nearer | INT8 | A16W8 |")
    print("|---|---|---|---|---|---|---|---|")
    for name in args.names or zoo.shipped():
        try:
            print(row(name, args.size, args.soc), flush=True)
        except EdgeexpoError as error:
            print(f"| {name} | | | | | | {error} | |", flush=True)


if __name__ == "__main__":
    main()
