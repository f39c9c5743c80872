"""``edgeexpo export``: export a network and verify it, which gives a bundle."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from edgeexpo import frame_format
from edgeexpo.allocator import keep_freed_memory
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import summary
from edgeexpo.chips import DEFAULT_CHIP
from edgeexpo.cli.arguments import add_inputs, add_own_output, add_weights_key, list_of, size
from edgeexpo.cli.export_plan import show_plan
from edgeexpo.cli.flags import flag_of
from edgeexpo.cli.output import add_json_argument, emit, human_bytes, table
from edgeexpo.errors import (
    ExportError,
    GateError,
    MissingDependencyError,
    UnverifiedError,
    UsageError,
)
from edgeexpo.spec import PRECISIONS
from edgeexpo.targets import DEFAULT_EXPORT_TARGET, target_names, usual_targets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="a name from 'edgeexpo models' (default: lrl), path/to/net.py:factory, or net.pt2 of "
        "torch.export.save",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="a .safetensors or .pth file (default: the weights that ship)",
    )
    add_weights_key(parser)
    parser.add_argument(
        "--int8",
        metavar="FILE",
        help="INT8 weights that 'edgeexpo quantize' wrote (default: those that ship)",
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE",
        help="what 'edgeexpo tune' chose: model, weights, pruning, layers in float, size, target",
    )
    parser.add_argument(
        "--prune",
        type=float,
        metavar="RATIO",
        help="remove this share of the multiply-accumulates; pruned weights that ship are used "
        "where there are any, else channels are removed now, without training",
    )
    add_inputs(parser)
    parser.add_argument(
        "--target",
        type=list_of(target_names(), {"all": usual_targets()}),
        help=_target_words(),
    )
    parser.add_argument(
        "--precision",
        type=list_of(PRECISIONS),
        default=("int8",),
        help="int8 (default: weights and activations), fp16, fp32, a16w8 (for NPUs: 16-bit "
        "activations), or a list",
    )
    parser.add_argument(
        "--soc",
        metavar="CHIP",
        help=f"chip of a Hexagon artefact, as in sm8650 (default: {DEFAULT_CHIP})",
    )
    parser.add_argument(
        "--calib",
        metavar="DIR",
        help="photographs or brackets to calibrate on (default: the embedded photographs)",
    )
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="photographs or brackets to verify on (default: the embedded photographs)",
    )
    add_own_output(parser)
    parser.add_argument("--size", type=size, metavar="H,W", help="largest tile (default: 512,512)")
    parser.add_argument(
        "--standalone",
        type=size,
        metavar="H,W",
        help="put the stages into the artefacts, for frames of this size: they take pictures "
        "(uint8 HxWx3) and give the picture",
    )
    parser.add_argument(
        "--gate",
        action="append",
        default=[],
        metavar="GATE",
        help="replace a bound, as in 'psnr>=45'; repeat the option for each bound",
    )
    parser.add_argument(
        "--frame-format",
        type=frame_format.parse_frame_format,
        metavar="FORMAT",
        help="format of the app's frames, for the manifest, as in nv12,bt709,limited,rotate90 "
        "(default: rgb)",
    )
    parser.add_argument(
        "--output-format",
        type=frame_format.parse_frame_format,
        metavar="FORMAT",
        help="format of the pictures that the app gets, as in p010,bt2020,pq1000 for radiance "
        "(default: as --frame-format)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit 5 unless every artefact could be verified"
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="the bundle (default: dist/MODEL)")
    parser.add_argument("--force", action="store_true", help="replace an existing bundle")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="write nothing: say what every target and precision would give, and what to change",
    )
    add_json_argument(parser)


def _target_words() -> str:
    usual = usual_targets()
    named = [DEFAULT_EXPORT_TARGET + " (default)"]
    named += [name for name in reversed(usual) if name != DEFAULT_EXPORT_TARGET]
    others = [name for name in target_names() if name not in usual]
    return ", ".join([*named, "all for these", *others, "or a list"])


def run(args: argparse.Namespace) -> int:
    """Export the network, print the table of its artefacts and return exit code 0.

    Under ``--dry-run`` it prints what an export would do instead.

    Raises:
        ExportError: An artefact could not be made. If another one could, the bundle holds it.
        GateError: An artefact failed a gate.
        UnverifiedError: An artefact could not be verified, under ``--strict``.
        MissingDependencyError: A library that export needs is not installed.
    """
    started = time.perf_counter()
    keep_freed_memory()
    try:
        from edgeexpo.parity.gates import parse_gate
        from edgeexpo.workflows.export import export_bundle
        from edgeexpo.workflows.plan_export import plan_export
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"export needs {error.name}, which is not installed; pip install 'edgeexpo[export]'"
        ) from error
    asked: dict[str, Any] = {
        **(_asked(args) if args.recipe is None else _tuned(args)),
        "precision": args.precision,
        "images": args.images,
        "int8": args.int8,
        "gates": [parse_gate(text) for text in args.gate],
        "output_range": args.output_range,
        "apply_at_full_size": args.apply_at_full_size,
        "full_size_form": args.full_size_form,
        "output_name": args.output_name,
        "frame_format": args.frame_format,
        "output_format": args.output_format,
        "output": args.output,
        "force": args.force,
        "soc": args.soc,
    }
    if args.dry_run:
        if args.standalone is not None:
            raise UsageError(
                "a dry run looks at the network alone; leave out `standalone` or `dry_run`"
            )
        return show_plan(args, plan_export(**asked))
    bundle = export_bundle(**asked, standalone=args.standalone)
    seconds = time.perf_counter() - started
    emit(args, _document(bundle, seconds), _text(bundle, seconds))
    return _answer(bundle, args.strict)


def _asked(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "model": args.model or "lrl",
        "targets": args.target or (DEFAULT_EXPORT_TARGET,),
        "calibration": args.calib,
        "size": args.size,
        "weights": args.weights,
        "weights_key": args.weights_key,
        "inputs": args.input,
        "prune": args.prune,
    }


def _tuned(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that the recipe gives. Only ``--target`` may replace one of them."""
    from edgeexpo.models import zoo
    from edgeexpo.models.names import is_foreign
    from edgeexpo.workflows.tune_recipe import read_recipe

    for option in ("weights", "weights_key", "int8", "prune", "input", "calib", "size"):
        if getattr(args, option) not in (None, []):
            raise UsageError(f"the recipe says what {flag_of(option)} would; leave one of them out")
    recipe = read_recipe(args.recipe)
    name = args.model
    if name is not None and not is_foreign(name):
        name = zoo.get(name).name
    if name not in (None, recipe.model):
        raise UsageError(f"{args.recipe} is a recipe of {recipe.model}, not of {args.model}")
    found = recipe.arguments(args.recipe.parent)
    return {**found, "targets": args.target or found["targets"]}


def _document(bundle: Bundle, seconds: float) -> dict[str, Any]:
    return {
        "bundle": str(bundle.path),
        "model": bundle.manifest.model.name,
        "seconds": round(seconds, 1),
        "status": bundle.manifest.status,
        "artifacts": bundle.manifest.artifacts,
        "refused": bundle.manifest.refused,
    }


def _text(bundle: Bundle, seconds: float) -> str:
    found = {row["file"]: row for row in bundle.manifest.parity["artifacts"]}
    rows: list[dict[str, Any]] = [
        {
            "file": a.file,
            "bytes": human_bytes(a.bytes),
            "PSNR dB": found[a.file]["worst"].get("psnr"),
            "SSIM": found[a.file]["worst"].get("ssim"),
            "dE2000 p99": found[a.file]["worst"].get("delta_e_p99"),
            "status": a.status,
            "verified by": a.verified_by,
        }
        for a in bundle.manifest.artifacts
    ]
    columns = list(rows[0])
    rows += [
        {"file": f"{r.target} {r.precision}", "status": "not made"} for r in bundle.manifest.refused
    ]
    lines = [table(rows, columns)]
    lines += [f"{a.file}: {a.error}" for a in bundle.manifest.artifacts if a.error]
    lines += [f"not made: {refusal}" for refusal in bundle.manifest.refused]
    lines.append(
        f"\n{bundle.path}: {bundle.manifest.status} in {seconds:.0f} s; the worst photograph "
        f"counts; pictures side by side: {bundle.path / 'report.html'}"
    )
    return "\n".join(lines)


def _answer(bundle: Bundle, strict: bool) -> int:
    """Return exit code 0, or raise the error that the most serious lack of the bundle asks for."""
    lacks = [words for words in (_refused(bundle), _failed(bundle)) if words]
    if bundle.manifest.refused:
        raise ExportError("; ".join(lacks))
    if lacks:
        raise GateError(lacks[0])
    names = [a.file for a in bundle.manifest.artifacts if a.status == "unverified"]
    if names and strict:
        raise UnverifiedError(f"not verified on this host: {', '.join(names)}")
    return 0


def _refused(bundle: Bundle) -> str | None:
    refused, made = bundle.manifest.refused, bundle.manifest.artifacts
    if not refused:
        return None
    return (
        f"{len(refused)} of {len(refused) + len(made)} artefacts could not be made: "
        f"{summary(refused)}; {bundle.path} holds the others"
    )


def _failed(bundle: Bundle) -> str | None:
    failed = [f"{a.file} ({a.error})" for a in bundle.manifest.artifacts if a.status == "failed"]
    if not failed:
        return None
    return (
        f"{bundle.path} is marked failed: {'; '.join(failed)}; see report.html in the bundle, "
        "calibrate on pictures like yours (--calib), train INT8 weights (edgeexpo quantize) or "
        "export another precision"
    )
