"""Put faults into real artefacts and print the gates that name them.

The printed table is that of ``docs/lab/faults.md``.

    python benchmarks/faults.py dist/kdfusion dist/expandnet

Every fault of `edgeexpo.testing.faults.catalogue` is put into every artefact of the bundles, as it
runs in its engine. `edgeexpo export NAME --target all --precision fp32,int8` makes the bundles. The
default gates judge the results, on embedded photographs and probes of --size pixels.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import UsageError
from edgeexpo.imaging.samples import samples
from edgeexpo.parity.cases import PHOTOGRAPH, Case, program_cases
from edgeexpo.parity.gates import default_gates
from edgeexpo.parity.probes import EQUAL, LARGER, MOVING, PAN, SWAPPED
from edgeexpo.parity.rounding import Rounding
from edgeexpo.runtime.engines.base import open_for_verification
from edgeexpo.testing.faults import plant
from edgeexpo.testing.faults.catalogue import FAULTS, Fault
from edgeexpo.testing.faults.judge import Remembering, judge, named

PHOTOGRAPHS = 2
"""Number of embedded photographs."""

PROBES = ("ramps", "saturated-primaries", PAN, MOVING, SWAPPED, EQUAL, LARGER)
"""Prefixes of the names of the probes on which faults show."""


def reduced(bundle: Bundle, side: int) -> Bundle:
    """Return the bundle with artefacts restricted to pictures of ``side``, so that tiles occur."""
    manifest = bundle.manifest
    artifacts = tuple(
        dataclasses.replace(
            a,
            sizes=dataclasses.replace(
                a.sizes,
                largest=(side, side),
                enumerated=tuple(s for s in a.sizes.enumerated if max(s) <= side),
            ),
        )
        for a in manifest.artifacts
    )
    recipe = dataclasses.replace(manifest.recipe, size=(side, side))
    return dataclasses.replace(
        bundle, manifest=dataclasses.replace(manifest, artifacts=artifacts, recipe=recipe)
    )


def pictures(bundle: Bundle) -> list[Case]:
    """Return photographs, and the probes on which faults show, with their references."""
    spec, size = bundle.manifest.model, bundle.manifest.recipe.size
    chosen = samples(len(spec.frames), None, size)[:PHOTOGRAPHS]
    cases, _ = program_cases(bundle, "cpu", None, chosen, integer=True)
    return [c for c in cases if c.kind == PHOTOGRAPH or c.name.startswith(PROBES)]


def tested(
    bundle: Bundle, artifact: Artifact, cases: Sequence[Case], faults: Sequence[Fault | None]
) -> list[dict[str, object]]:
    """Return one row per fault with its failed gates in order."""
    spec = bundle.manifest.model
    engine = open_for_verification(artifact.target, bundle.file(artifact.file), spec)
    gates = default_gates(artifact.precision, spec.residual is not None, spec.kind == "hdr")
    remembering, rounding = Remembering(engine), Rounding(cases, bundle)
    rows: list[dict[str, object]] = []
    for fault in faults:
        if fault is not None and not fault.concerns(spec):
            continue
        failed = judge(bundle, artifact, remembering, cases, gates, rounding, fault)
        rows.append(
            {
                "artefact": artifact.file,
                "fault": None if fault is None else fault.name,
                "level": None if fault is None else fault.level,
                "caught": bool(failed),
                "named": fault is not None and named(fault, failed),
                "failed": failed,
            }
        )
        print(".", end="", file=sys.stderr, flush=True)
    engine.close()
    return rows


def planted(bundle: Bundle, artifact: Artifact, cases: Sequence[Case]) -> list[dict[str, object]]:
    """Return one row per fault in the saved file's middle convolution; any gate may name it."""
    spec = bundle.manifest.model
    gates = default_gates(artifact.precision, spec.residual is not None, spec.kind == "hdr")
    left_out = plant.FLOAT_ONLY if artifact.precision == "int8" else plant.INTEGER_ONLY
    rounding = Rounding(cases, bundle)
    layer = plant.open_layers(artifact.target, bundle.file(artifact.file)).count // 2
    rows: list[dict[str, object]] = []
    for name in plant.WEIGHT_FAULTS:
        if name in left_out:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                damaged = plant.plant(bundle, artifact, name, layer, Path(folder))
            except UsageError as error:
                print(f"{artifact.file}, {name}: {error}", file=sys.stderr)
                continue
            engine = open_for_verification(artifact.target, damaged.file(artifact.file), spec)
            failed = judge(damaged, artifact, Remembering(engine), cases, gates, rounding)
            engine.close()
        rows.append({"artefact": artifact.file, "fault": name, "failed": failed})
        print(".", end="", file=sys.stderr, flush=True)
    return rows


def main() -> None:
    """Print the table, or write the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--size", type=int, default=128, help="pixels a side")
    parser.add_argument("--target", default=None)
    parser.add_argument("--layers", action="store_true", help="faults in a layer of saved files")
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    for path in args.bundles:
        bundle = reduced(Bundle.open(path), args.size)
        cases = pictures(bundle)
        for artifact in bundle.by_preference(args.target):
            if args.layers:
                rows += planted(bundle, artifact, cases)
                continue
            rows += tested(bundle, artifact, cases, [None, *FAULTS])
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1), "utf-8")
    if args.layers:
        for row in rows:
            print(f"| {row['artefact']} | {row['fault']} | {next(iter(row['failed']), 'passed')} |")  # type: ignore[call-overload]
    else:
        print_table(rows)


def print_table(rows: Sequence[dict[str, object]]) -> None:
    """Print for each fault how often it was caught and named, and by which gate."""
    faulty = [r for r in rows if r["fault"] is not None]
    clean = [r for r in rows if r["fault"] is None]
    print(
        "| fault | put into | artefacts | caught | named | first failed gate |\n"
        "|---|---|--:|--:|--:|---|"
    )
    for fault in FAULTS:
        found = [r for r in faulty if r["fault"] == fault.name]
        firsts = {re.split("[<>:]", str(r["failed"][0]))[0] for r in found if r["failed"]}  # type: ignore[index]
        caught, by_name = (sum(bool(r[key]) for r in found) for key in ("caught", "named"))
        print(
            f"| {fault.name} | {fault.level} | {len(found)} | {caught} | {by_name} | "
            f"{', '.join(sorted(firsts))} |"
        )
    caught, by_name = (sum(bool(r[key]) for r in faulty) for key in ("caught", "named"))
    alarms = [r for r in clean if r["caught"]]
    print(f"\n{len(faulty)} faults: {caught} caught, {by_name} named.", end=" ")
    print(f"{len(clean)} artefacts as they are: {len(alarms)} false alarms.")
    for row in alarms:
        print(f"- {row['artefact']}: {'; '.join(row['failed'])}")  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
