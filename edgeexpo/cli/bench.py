"""``edgeexpo bench``: latency, peak memory and size of every artefact, next to torch.

Every program is loaded in a child process of its own, so that its peak memory is measured alone.
The children then take turns: in each round, every child runs its program once. A slow minute of
the machine therefore affects all programs alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeexpo.cli.arguments import add_on, add_selection, positive, size, thread_count
from edgeexpo.cli.output import add_json_argument, emit, human_bytes, table
from edgeexpo.workflows.bench import BenchResult, bench


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("bundle", nargs="+", type=Path, help="bundles to time in one run")
    parser.add_argument("--size", type=size, help="H,W of the picture (default: the exported size)")
    parser.add_argument("--threads", type=thread_count, help="threads (default: one for each core)")
    parser.add_argument(
        "--runs",
        type=positive,
        default=10,
        help="timed runs of each artefact, after 3 runs to warm up (default: 10)",
    )
    parser.add_argument(
        "--remember",
        action="store_true",
        help="keep the times in your cache folder, so that the fastest engine is taken from now on "
        "for these bundles on this machine",
    )
    add_selection(parser)
    add_on(parser, several=True)
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Time the chosen artefacts and print one row for each.

    Raises:
        UsageError: A bundle has no such artefact, or an artefact does not accept the size.
        EngineError: An engine failed while it was timed.
        HostError: A machine of ``--on`` cannot be reached, lacks something, or was lost.
        MissingDependencyError: The engine of a target asked for with ``--target`` is missing.
    """
    found = bench(
        args.bundle,
        target=args.target,
        precision=args.precision,
        size=args.size,
        threads=args.threads,
        runs=args.runs,
        remember=args.remember,
        on=args.on,
    )
    document = {"host": found.host, "runs": found.runs, "rows": found.rows}
    document |= {"others": found.others} if found.others else {}
    emit(args, document, _text(found))
    return 0


def _text(found: BenchResult) -> str:
    machine = found.host
    several = len({row["bundle"] for row in found.rows}) > 1
    shown = []
    for row in found.rows:
        name = row["file"] or "torch eager"
        shown.append(
            {
                "artefact": f"{row['bundle']}/{name}" if several else name,
                **({"on": row.get("on", "here")} if found.others else {}),
                "engine": f"{row['engine']} {row['version']}" if "on" in row else row["engine"],
                "size": "{}x{}".format(*row["size"]),
                "threads": row["threads"],
                "p50 ms": row["ms_p50"],
                "p90 ms": row["ms_p90"],
                "peak MB": row["peak_rss_mb"],
                "file": None if row["bytes"] is None else human_bytes(row["bytes"]),
                "x torch": row["speedup_torch"],
                "x own fp32": row["speedup_fp32"],
            }
        )
    notes = [f"{row['file'] or 'torch eager'}: {row['note']}" for row in found.rows if row["note"]]
    here = any("on" not in row for row in found.rows)
    if here and found.busy:
        notes.append(f"the machine was busy when this began (load {machine['load']})")
    heads = [_head(machine)] if here else []
    heads += [f"{name}: {_head(facts)}" for name, facts in found.others.items()]
    return "\n".join([*heads, "", table(shown, list(shown[0])), *notes])


def _head(machine: Mapping[str, Any]) -> str:
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['os']}"
