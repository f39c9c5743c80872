"""Print the gates that fail on undamaged artefacts, and the artefacts' PSNR to the float network.

    edgeexpo export lrl --target all --precision fp32,fp16,int8 --size 256,256 -o dist/lrl
    python benchmarks/false_alarms.py --data DATA dist/lrl ...

The pictures are every real picture at hand and every probe. ``--data`` is a folder of folders, each
with photographs or with brackets in sub-folders.

Each artefact has a row: failed gates, PSNR in dB of the worst photograph, its name, the mean PSNR,
the worst dE2000 p99. Below the table each failed gate has a line with the picture and the value.

Results are kept in ``--cache`` by the digests of artefact and pictures and by the gates. An
interrupted run therefore continues. Remove the folder after changing a metric.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.imaging.files import PICTURE_SUFFIXES
from edgeexpo.imaging.samples import Sample, samples
from edgeexpo.parity.cases import PHOTOGRAPH, Case, program_cases
from edgeexpo.parity.check import check_artifact
from edgeexpo.parity.rounding import Rounding
from edgeexpo.spec import to_json

Judged = dict[str, Any]
"""Result of one artefact, as the cache holds it."""


def main() -> None:
    """Parse the arguments, judge the artefacts without a cached result, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="+", help="folders made by edgeexpo export")
    parser.add_argument("--data", type=Path, required=True, help="folder of folders of pictures")
    parser.add_argument("--cache", type=Path, default=Path("false_alarms"), help="what was judged")
    args = parser.parse_args()
    folders = picture_folders(args.data)
    key = ",".join(digest(folder) for folder in folders)
    args.cache.mkdir(parents=True, exist_ok=True)
    print(
        "| system | size | target | precision | photographs | probes | failed gates "
        "| worst PSNR | in | mean PSNR | worst dE2000 p99 |"
    )
    print("|---|---|---|---|--:|--:|--:|--:|---|--:|--:|")
    alarms = []
    for path in args.bundles:
        bundle = Bundle.open(path)
        size = "x".join(map(str, bundle.manifest.recipe.size))
        for found in judged(bundle, folders, key, args.cache):
            what = f"| {bundle.manifest.model.name} | {size} | {found['target']} "
            what += f"| {found['precision']} "
            row = f"{what}| {found['photographs']} | {found['probes']} | {len(lines(found))} "
            print(f"{row}| {nearness(found)} |", flush=True)
            alarms += [f"{what}| {line} |" for line in lines(found)]
    print("\n".join(["", *alarms]))


def nearness(found: Judged) -> str:
    """Return cells of a table: worst PSNR and its picture, mean PSNR and worst dE2000 p99.

    All are over the photographs.
    """
    rows = [row for row in found["per_input"] if row["kind"] == PHOTOGRAPH and "psnr" in row]
    if not rows:
        return "- | - | - | -"
    worst = min(rows, key=lambda row: row["psnr"])
    mean = sum(row["psnr"] for row in rows) / len(rows)
    colors = [row["delta_e_p99"] for row in rows if row.get("delta_e_p99") is not None]
    color = f"{max(colors):.2f}" if colors else "-"
    return f"{worst['psnr']:.1f} | {worst['name']} | {mean:.1f} | {color}"


def lines(found: Judged) -> list[str]:
    """Return a line per failed gate, or the engine's error if there was nothing to judge."""
    engine = [found["error"]] if found["status"] != "verified" else []
    return list(found["failed_gates"]) or engine


def judged(bundle: Bundle, folders: Sequence[Path], key: str, cache: Path) -> Iterator[Judged]:
    """Yield the result of every artefact of a bundle, from the cache if possible."""
    cases: list[Case] | None = None
    for artifact in bundle.manifest.artifacts:
        file = cache / f"{cache_name(bundle, artifact, key)}.json"
        if not file.exists():
            if cases is None:
                cases = reference_cases(bundle, folders)
            file.write_text(json.dumps(judge(bundle, artifact, cases)), "utf-8")
        found: Judged = json.loads(file.read_text("utf-8"))
        yield found


def judge(bundle: Bundle, artifact: Artifact, cases: Sequence[Case]) -> Judged:
    """Return the result of the parity check of one artefact."""
    result = check_artifact(bundle, artifact, cases, (), Rounding(cases, bundle))
    kinds = [row["kind"] for row in result.per_input]
    return {
        "file": result.file,
        "target": result.target,
        "precision": result.precision,
        "status": result.status,
        "error": result.error,
        "photographs": kinds.count(PHOTOGRAPH),
        "probes": len(kinds) - kinds.count(PHOTOGRAPH),
        "failed_gates": list(result.failed_gates),
        "per_input": [dict(row) for row in result.per_input],
    }


def reference_cases(bundle: Bundle, folders: Sequence[Path]) -> list[Case]:
    """Run all pictures and probes through the bundle's programs."""
    frames, size = len(bundle.manifest.model.frames), bundle.manifest.recipe.size
    pictures: list[Sample] = [s for folder in folders for s in samples(frames, folder, size)]
    integer = any(a.precision == "int8" for a in bundle.manifest.artifacts)
    cases, _ = program_cases(bundle, "cpu", None, pictures, integer)
    return cases


def picture_folders(data: Path) -> list[Path]:
    """Return the folders of ``data`` that hold pictures, or folders of pictures."""

    def pictures(folder: Path) -> bool:
        return any(
            f.suffix.lower() in PICTURE_SUFFIXES for f in [*folder.glob("*"), *folder.glob("*/*")]
        )

    return [folder for folder in sorted(data.iterdir()) if folder.is_dir() and pictures(folder)]


def cache_name(bundle: Bundle, artifact: Artifact, key: str) -> str:
    """Return a digest of everything that decides a verdict, except the parity check's code."""
    manifest = bundle.manifest
    gates = to_json(manifest.recipe.gates.get(artifact.precision, ()))
    parts = [artifact.sha256, key, json.dumps(gates), json.dumps(dict(manifest.files))]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


if __name__ == "__main__":
    main()
