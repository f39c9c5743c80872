"""``edgeexpo tune NAME``: which pruning and which layers in float, measured on the engine."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeexpo.bundle.manifest import Artifact
from edgeexpo.cli.arguments import add_inputs, one_of, positive, size
from edgeexpo.cli.output import add_json_argument, emit, human_bytes, table
from edgeexpo.errors import GateError, MissingDependencyError
from edgeexpo.spec import ModelSpec
from edgeexpo.targets import DEFAULT_TUNE_TARGET, target_names
from edgeexpo.writing import check_file

if TYPE_CHECKING:
    from edgeexpo.workflows.tune import Plan, SearchResult
    from edgeexpo.workflows.tune_candidates import Candidate, Timer, Timing

GATE = "psnr>=40"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "model", metavar="NAME", help="a network of the zoo, or path/to/net.py:factory"
    )
    parser.add_argument(
        "--target",
        type=one_of(target_names()),
        default=DEFAULT_TUNE_TARGET,
        help=f"engine ({DEFAULT_TUNE_TARGET})",
    )
    parser.add_argument(
        "--gate",
        action="append",
        metavar="GATE",
        help=f"bound on the worst photograph against unpruned float ({GATE}); repeat it for each",
    )
    parser.add_argument("--max-ms", type=float, help="largest median latency, ms")
    parser.add_argument("--max-bytes", type=positive, help="largest artefact")
    parser.add_argument("--size", type=size, metavar="H,W", help="size that is timed (512,512)")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="unpruned; else the shipped")
    add_inputs(parser)
    parser.add_argument(
        "--pruned", type=Path, nargs="+", default=[], metavar="FILE", help="pruned weights to try"
    )
    parser.add_argument(
        "--prune",
        type=float,
        action="append",
        default=[],
        metavar="RATIO",
        help="also try pruning by this share now, without training; repeat it for each",
    )
    parser.add_argument("--calib", type=Path, metavar="DIR", help="calibrate on; else the embedded")
    parser.add_argument("--images", type=Path, metavar="DIR", help="judge on; else the embedded")
    parser.add_argument(
        "--candidates",
        type=positive,
        default=5,
        metavar="N",
        help="sets of float layers to try for each set of weights (5)",
    )
    parser.add_argument("--threads", type=positive, help="threads (one a core)")
    parser.add_argument(
        "--runs", type=positive, default=10, help="timed runs each, after 3 to warm up (10)"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(".edgeexpo/tune"),
        metavar="DIR",
        help="finished candidates; a search that was ended goes on from here (.edgeexpo/tune)",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the Pareto front")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="recipe (NAME.recipe.json)"
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Search, print the table, write the recipe; exit code 0.

    Raises:
        GateError: No candidate respects the bounds; no recipe was written.
    """
    from edgeexpo.workflows.host import host, load_average

    try:
        from edgeexpo.parity.gates import parse_gate
        from edgeexpo.workflows.plots import draw_front
        from edgeexpo.workflows.tune import Plan, reachable, tune
        from edgeexpo.workflows.tune_recipe import write_recipe
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"tune needs {error.name}, which is not installed; pip install 'edgeexpo[export]'"
        ) from error
    output = args.output or Path(f"{Path(args.model.partition('.py')[0]).name}.recipe.json")
    for path in (output, args.plot):
        if path is not None:
            check_file(path, args.force)
    plan = Plan(
        model=args.model,
        target=args.target,
        gates=tuple(parse_gate(text) for text in args.gate or [GATE]),
        max_ms=args.max_ms,
        max_bytes=args.max_bytes,
        size=args.size,
        weights=args.weights,
        inputs=tuple(args.input),
        pruned=tuple(args.pruned),
        ratios=tuple(args.prune),
        calibration=args.calib,
        images=args.images,
        most=args.candidates,
    )
    machine = host()
    threads = args.threads or machine["cores"]
    found = tune(plan, args.cache, timer(threads, args.runs), f"{machine['cpu']}, {threads}")
    document = _document(plan, found, threads, machine["cpu"])
    document["busy"] = (load_average() or 0) > threads + 0.5 * machine["cores"]
    if args.plot is not None:
        draw_front(args.plot, f"{plan.model}, {plan.target}, {document['at']}", document["rows"])
    if found.winner is None:
        failure = GateError(f"{reachable(plan, found)}; no recipe was written")
        told = {"error": {"type": "GateError", "message": str(failure)}}
        emit(args, document | told, _text(document))
        raise failure
    write_recipe(output, _recipe(plan, found, found.winner, document, output.parent))
    emit(args, document | {"recipe": str(output)}, _text(document) + _advice(found, output))
    return 0


def timer(threads: int, runs: int) -> Timer:
    """Latency as ``edgeexpo bench`` measures it: child processes that take turns."""
    from edgeexpo.workflows.latency import Contender, check_bench_size, measure_latency, rows
    from edgeexpo.workflows.tune_candidates import Timing

    def time(
        spec: ModelSpec, files: Sequence[tuple[Artifact, Path]], picture: tuple[int, int]
    ) -> list[Timing]:
        contenders = []
        for artifact, path in files:
            side = spec.fixed_size or picture
            check_bench_size(artifact, side)
            contenders.append(Contender(spec, artifact, path, side, threads, path.parent))
        measure_latency(contenders, runs)
        return [Timing(row["ms_p50"], row["ms_p90"]) for row in rows(contenders)]

    return time


def _recipe(
    plan: Plan, found: SearchResult, winner: Candidate, document: dict[str, Any], folder: Path
) -> Any:
    from edgeexpo.bundle.files import digest
    from edgeexpo.workflows.export import tool_versions
    from edgeexpo.workflows.tune_recipe import TunedRecipe, relative

    variant = found.variants[winner.variant]
    network = variant.network
    own = [path for path in plan.pruned if path == network.weights]
    weights = own[0] if own else plan.weights
    row = next(row for row in document["rows"] if row["winner"])
    return TunedRecipe(
        model=network.preset or plan.model,
        target=plan.target,
        size=found.size,
        weights=relative(weights, folder),
        weights_sha256=None if network.weights is None else digest(network.weights),
        prune=variant.prune,
        keep_float=winner.keep_float,
        calibration=relative(plan.calibration, folder),
        inputs=plan.inputs,
        measured={k: v for k, v in row.items() if k not in ("front", "winner")}
        | {"worst": dict(winner.worst), "gates": [str(g) for g in plan.gates]}
        | {k: document[k] for k in ("host", "threads", "at")},
        tools=tool_versions(),
    )


def _document(plan: Plan, found: SearchResult, threads: int, cpu: str) -> dict[str, Any]:
    height, width = found.size
    return {
        "model": plan.model,
        "target": plan.target,
        "at": f"{height}x{width}",
        "host": cpu,
        "threads": threads,
        "reused": found.reused,
        "failed": found.failed,
        "rows": [_row(c, found) for c in sorted(found.candidates, key=lambda c: c.timing.p50)],
    }


def _row(c: Candidate, found: SearchResult) -> dict[str, Any]:
    timing: Timing = c.timing
    return {
        "label": c.label,
        "weights": c.variant,
        "keep_float": c.keep_float,
        "psnr": c.worst["psnr"],
        "psnr_mean": c.psnr_mean,
        "ms": timing.p50,
        "ms_p90": timing.p90,
        "bytes": c.artifact.bytes,
        "finalist": c.key in found.finalists,
        "front": c.key in found.front,
        "plain": c.key == found.plain.key,
        "winner": found.winner is not None and c.key == found.winner.key,
    }


def _text(document: dict[str, Any]) -> str:
    rows = [
        {
            "weights": row["weights"],
            "in float": "trained INT8"
            if row["keep_float"] is None
            else ", ".join(row["keep_float"]) or "-",
            "worst dB": round(row["psnr"], 2),
            "mean dB": round(row["psnr_mean"], 2),
            "p50 ms": round(row["ms"], 2),
            "p90 ms": round(row["ms_p90"], 2),
            "bytes": human_bytes(row["bytes"]),
            "": " ".join(word for word in ("front", "plain", "winner") if row[word])
            or ("" if row["finalist"] else "timed alone"),
        }
        for row in document["rows"]
    ]
    lines = [
        table(rows, list(rows[0])),
        f"\n{document['target']} at {document['at']}, {document['threads']} threads, "
        f"{document['host']}; PSNR of the artefact against the unpruned float network; "
        f"{document['reused']} of {len(rows)} from the cache",
        *(f"failed: {line}" for line in document["failed"]),
    ]
    if document["busy"]:
        lines.append("the machine was busy with other work: read the times as an order only")
    return "\n".join(lines)


def _advice(found: SearchResult, output: Path) -> str:
    assert found.winner is not None
    plain, best = found.plain, found.winner
    if best.key == plain.key:
        against = "plain INT8 it is"
    else:
        against = (
            f"{best.label}: {best.worst['psnr'] - plain.worst['psnr']:+.2f} dB and "
            f"{plain.timing.p50 / best.timing.p50:.2f} x the speed of plain INT8"
        )
    return f"\n\n{output}: {against}; edgeexpo export --recipe {output}"
