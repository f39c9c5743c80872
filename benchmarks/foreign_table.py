"""Export networks that were written from their papers, and print what each target gives.

    python benchmarks/foreign_table.py runs/foreign.jsonl [NETWORK ...] [--targets onnx,coreml]

The networks are those of ``benchmarks/foreign`` that need no checkpoint: their weights are random,
and their pictures are near their inputs. Every network is exported to every usual target in fp32
and INT8, in a process of its own. The results are lines of the file. A network and target whose
result is there is left out, so that the command can be stopped and started again; ``--again`` tries
those that are named anew. ``--targets none`` prints the tables alone.

The first table has the status of every artefact, its worst PSNR over photographs, its size, and
the pictures that it takes: ``any``, ``from`` the exported size, ``up to`` it, or that ``one``. The
last column has the seconds of the export with its verification, of all targets. The second table
says for every failure which gate it is, and why a target was refused.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from resumable import documents, keep, results

from edgeexpo import export_bundle
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import EdgeexpoError, InternalError
from edgeexpo.failures import described, unforeseen
from edgeexpo.progress import kept_notes
from edgeexpo.silence import muted
from edgeexpo.targets import usual_targets

FOLDER = Path(__file__).parent / "foreign"
"""Folder of the networks' files."""

PRECISIONS = ("fp32", "int8")
"""Precisions of the table."""

LIMIT = 3600.0
"""Seconds that the export of one network may take."""

Cells = dict[str, dict[str, dict[str, Any]]]
"""What became of every target and precision."""


@dataclass(frozen=True)
class Network:
    """A network of the table.

    Attributes:
        title: Name in the table.
        model: File and factory, as ``export`` takes them.
        side: Height and width of the export in pixels.
        output: The output that is the picture, of several.
    """

    title: str
    model: str
    side: int
    output: str | None = None


NETWORKS = {
    "unet": Network("U-Net, by interpolation", "unet.py:factory", 96),
    "unet-transposed": Network("U-Net, transposed", "unet.py:transposed", 96),
    "nafnet": Network("NAFNet", "nafnet.py:factory", 96),
    "restormer": Network("Restormer", "restormer.py:factory", 64),
    "swinir": Network("SwinIR light, x2", "swinir.py:factory", 64),
    "zero-dce": Network("Zero-DCE", "zero_dce.py:factory", 96, "1"),
    "real-esrgan": Network("Real-ESRGAN compact, x4", "real_esrgan.py:factory", 64),
    "hdrnet": Network("HDRNet", "hdrnet.py:factory", 96),
    "lut3d": Network("3D LUT", "lut3d.py:factory", 96),
    "mprnet": Network("MPRNet", "mprnet.py:factory", 64, "0"),
    "uformer": Network("Uformer", "uformer.py:factory", 64),
}
"""The networks by the name that the command takes."""


def result_of(name: str, targets: Sequence[str]) -> dict[str, Any]:
    """Export a network to targets in every precision, and return its line of the file."""
    network, start = NETWORKS[name], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, muted(), kept_notes() as notes:
        try:
            bundle = export_bundle(
                f"{FOLDER / network.model}",
                targets=targets,
                precision=PRECISIONS,
                inputs=f"1x3x{network.side}x{network.side}",
                output_name=network.output,
                output=Path(folder) / "bundle",
            )
            cells = cells_of(bundle)
        except EdgeexpoError as error:
            status = "traceback" if isinstance(error, InternalError) else "refused"
            cells = cells_of_none(targets, status, str(error))
        except Exception as error:  # noqa: BLE001 - whatever reaches a user is what this looks for
            words = f"{described(error)}; {unforeseen(error, 'exporting')}"
            cells = cells_of_none(targets, "traceback", words)
    seconds = round(time.perf_counter() - start)
    return {"network": name, "seconds": seconds, "cells": cells, "notes": notes}


def cells_of_none(targets: Sequence[str], status: str, words: str) -> Cells:
    """Return what became of every target and precision of an export that gave nothing."""
    return {t: {p: {"status": status, "words": words} for p in PRECISIONS} for t in targets}


def cells_of(bundle: Bundle) -> Cells:
    """Return what became of every target and precision of a bundle."""
    manifest = bundle.manifest
    rows = {row["file"]: row for row in manifest.parity["artifacts"]}
    cells: Cells = {target: {} for target in manifest.recipe.targets}
    for refusal in manifest.refused:
        refused = {"status": "refused", "words": refusal.reason}
        cells[refusal.target][refusal.precision] = refused
    for artifact in manifest.artifacts:
        cells[artifact.target][artifact.precision] = {
            "status": artifact.status,
            "words": artifact.error or "",
            "bytes": artifact.bytes,
            "psnr": rows[artifact.file]["worst"].get("psnr"),
            "takes": _sizes(bundle, artifact.sizes.smallest == artifact.sizes.largest),
        }
    return cells


def _sizes(bundle: Bundle, fixed: bool) -> str:
    """Say which pictures an artefact takes: in tiles, or whole ones alone."""
    if bundle.manifest.model.footprint.halo is not None:
        return "from" if fixed else "any"
    return "one" if fixed else "up to"


def dead(name: str, words: str, targets: Sequence[str]) -> dict[str, Any]:
    """Return the line for an export whose process gave no result."""
    cells = cells_of_none(targets, "died", words)
    return {"network": name, "seconds": 0, "cells": cells, "notes": []}


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the last result of every network and target in a file, without a cut last line.

    The seconds of several exports of one network are added.
    """
    merged: dict[str, dict[str, Any]] = {}
    for found in documents(path):
        known = merged.get(found["network"])
        kept = {} if known is None else known["cells"]
        new = known is None or kept.keys() <= found["cells"].keys()
        seconds = found["seconds"] + (0 if new or known is None else known["seconds"])
        merged[found["network"]] = {"seconds": seconds, "cells": {**kept, **found["cells"]}}
    return merged


def print_tables(found: dict[str, dict[str, Any]]) -> None:
    """Print the cells by network and target, and why some of them have no verified artefact."""
    heads = [f"{target} {precision}" for target in usual_targets() for precision in PRECISIONS]
    print(f"| network | size | {' | '.join(heads)} | seconds |")
    print("|---|---|" + "---|" * (len(heads) + 1))
    reasons: dict[tuple[str, str], list[str]] = {}
    for name, network in NETWORKS.items():
        result, row = found.get(name, {"cells": {}, "seconds": 0}), []
        for target in usual_targets():
            for precision in PRECISIONS:
                cell = result["cells"].get(target, {}).get(precision)
                row.append("not run" if cell is None else _shown(cell))
                if cell is not None and cell["status"] != "verified":
                    words = cell["words"].replace("|", "/")
                    reasons.setdefault((network.title, words), []).append(f"{target} {precision}")
        size = f"{network.side}x{network.side}"
        print(f"| {network.title} | {size} | {' | '.join(row)} | {result['seconds'] or '-'} |")
    if reasons:
        print("\n| network | artefact | why |\n|---|---|---|")
    for (title, words), where in reasons.items():
        print(f"| {title} | {', '.join(where)} | {words} |")


def _shown(cell: dict[str, Any]) -> str:
    """Write a cell in a few words: status, worst PSNR over photographs, kB, sizes."""
    if "bytes" not in cell:
        return str(cell["status"])
    psnr = "" if cell["psnr"] is None else f" {cell['psnr']:.1f} dB,"
    return f"{cell['status']},{psnr} {cell['bytes'] / 1000:.0f} kB, {cell['takes']}"


def main() -> int:
    """Export the networks and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="results, one JSON document a line")
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(NETWORKS)} (default all)")
    parser.add_argument("--targets", default=",".join(usual_targets()), help="default: usual ones")
    parser.add_argument("--again", action="store_true", help="try anew what has a result")
    args = parser.parse_args()
    unknown = [name for name in args.networks if name not in NETWORKS]
    if unknown:
        parser.error(f"no network {unknown[0]!r}; it has: {', '.join(NETWORKS)}")
    done = {} if args.again else read(args.file)
    asked = [target for target in args.targets.split(",") if target != "none"]
    for name in args.networks or NETWORKS:
        known = done[name]["cells"] if name in done else {}
        targets = [target for target in asked if target not in known]
        if not targets:
            continue
        work, none = partial(result_of, targets=targets), partial(dead, targets=targets)
        (found,) = results([name], work, none, LIMIT)
        keep(args.file, found)
        said = ", ".join(
            f"{target} {precision} {cell['status']}"
            for target, cells in found["cells"].items()
            for precision, cell in cells.items()
        )
        print(f"{name}: {said} ({found['seconds']} s)", file=sys.stderr, flush=True)
    print_tables(read(args.file))
    return 0


if __name__ == "__main__":
    sys.exit(main())
