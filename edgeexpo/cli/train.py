"""``edgeexpo train NAME``: train a network of the zoo by its recipe.

A training that was stopped goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeexpo.cli.arguments import add_recipe_fields, thread_count, zero_or_more
from edgeexpo.cli.output import add_json_argument, emit

TRAINING_OVERRIDES = ("steps", "batch", "crop", "learning_rate", "scenes", "scene_size", "seed")
"""Fields of the training recipe that an option of the same name replaces."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("model", metavar="NAME", help="a network of the zoo (see: edgeexpo models)")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of radiance maps (.hdr, .exr; or in hdri/) and photographs (or in photos/)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="folder of the training run (default: runs/NAME)"
    )
    parser.add_argument(
        "--scenes-dir",
        type=Path,
        help="folder of the rendered scenes, which runs can share (default: in the run's folder)",
    )
    parser.add_argument("--start", type=Path, help="weights to start from")
    parser.add_argument(
        "--teacher", type=Path, help="weights of the teacher, for networks that learn from one"
    )
    parser.add_argument(
        "--low-level",
        action="store_true",
        help="let students also follow the teacher's low-level features",
    )
    parser.add_argument(
        "--vgg",
        type=Path,
        help="state_dict of VGG19 for the perceptual loss, which is off without it",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda... (default: auto)")
    parser.add_argument(
        "--save-every",
        type=zero_or_more,
        default=120.0,
        metavar="SECONDS",
        help="time between two checkpoints; 0 saves after every step (default: 120)",
    )
    parser.add_argument(
        "--threads", type=thread_count, help="CPU threads (default: torch's choice)"
    )
    add_recipe_fields(parser, TRAINING_OVERRIDES, "replaces the recipe's value")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Start a training or continue one, and return exit code 0."""
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
