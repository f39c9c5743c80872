"""``edgeexpo train NAME``: train a network of the zoo by its recipe; resumable."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeexpo.cli.output import add_json_argument, emit

TRAINING_OVERRIDES = ("steps", "batch", "crop", "learning_rate", "scenes", "scene_size", "seed")
"""Fields of a recipe that an option of the same name replaces."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("model", metavar="NAME", help="a network of the zoo (see: edgeexpo models)")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of radiance maps (.hdr, .exr; or in hdri/) and photographs (or in photos/)",
    )
    parser.add_argument("-o", "--output", type=Path, help="the run's folder (runs/NAME)")
    parser.add_argument("--scenes-dir", type=Path, help="made scenes, shared by runs (in the run)")
    parser.add_argument("--start", type=Path, help="weights to start from")
    parser.add_argument("--teacher", type=Path, help="weights of the teacher, for students")
    parser.add_argument(
        "--low-level",
        action="store_true",
        help="students follow the teacher's low-level features too (the replies to reviewers)",
    )
    parser.add_argument("--vgg", type=Path, help="VGG19 state_dict; without it perceptual is off")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda... (auto)")
    parser.add_argument(
        "--save-every", type=float, default=120.0, metavar="SECONDS", help="checkpoints (120)"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (torch's choice)")
    for name in TRAINING_OVERRIDES:
        kind = float if name == "learning_rate" else int
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=kind, help="instead of the recipe's")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Train, or go on; exit code 0."""
    from edgeexpo.workflows.train import train

    made = train(
        args.model,
        args.data,
        output=args.output,
        scenes_dir=args.scenes_dir,
        start=args.start,
        teacher=args.teacher,
        low_level=args.low_level,
        vgg=args.vgg,
        device=args.device,
        save_every=args.save_every,
        threads=args.threads,
        **{name: getattr(args, name) for name in TRAINING_OVERRIDES},
    )
    document = {
        "model": made.model,
        "weights": str(made.path),
        "steps": made.steps,
        "seconds": round(made.seconds, 1),
        "validation_loss": made.validation_loss,
    }
    text = (
        f"{made.path}: {made.steps} steps in {made.seconds / 60:.1f} min, "
        f"validation loss {made.validation_loss:.5f}\nlearning curves: {made.curve}"
    )
    emit(args, document, text)
    return 0
