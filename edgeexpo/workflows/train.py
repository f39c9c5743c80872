"""Training of a network of the zoo by its recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from edgeexpo.errors import UsageError
from edgeexpo.progress import note
from edgeexpo.short_repr import short_repr
from edgeexpo.training import recipes
from edgeexpo.training.run import Settings, run
from edgeexpo.workflows.arguments import AnyPath, optional_path
from edgeexpo.workflows.imitation import given


@dataclass(frozen=True)
class TrainedWeights:
    """The result of :func:`train`.

    Attributes:
        model: Name of the preset.
        path: File of the float weights, for the argument ``weights`` of the other functions.
        curve: Picture of the learning curves.
        steps: Number of training steps in all.
        seconds: Time of all steps in seconds.
        validation_loss: Loss at the end on validation scenes, which are not trained on.
    """

    model: str
    path: Path
    curve: Path
    steps: int
    seconds: float
    validation_loss: float

    def __repr__(self) -> str:
        return short_repr(
            f"TrainedWeights of {self.model}: {self.path}",
            [
                f"{self.steps} steps in {self.seconds / 60:.1f} min, "
                f"validation loss {self.validation_loss:.5f}"
            ],
        )


def train(
    model: str,
    data: AnyPath,
    *,
    output: AnyPath | None = None,
    scenes_dir: AnyPath | None = None,
    start: AnyPath | None = None,
    teacher: AnyPath | None = None,
    low_level: bool = False,
    vgg: AnyPath | None = None,
    device: str = "auto",
    save_every: float = 120.0,
    threads: int | None = None,
    steps: int | None = None,
    batch: int | None = None,
    crop: int | None = None,
    learning_rate: float | None = None,
    scenes: int | None = None,
    scene_size: int | None = None,
    seed: int | None = None,
) -> TrainedWeights:
    """Train a network of the zoo by its recipe. A run that was stopped continues.

    Args:
        model: A name of the zoo. A module in memory has no recipe. Train it by your own loop.
        data: Folder of radiance maps (``.hdr`` or ``.exr``) and photographs. They may be in its
            sub-folders ``hdri`` and ``photos``.
        output: Folder of the run. By default, ``runs/NAME``.
        scenes_dir: Folder of made scenes, shared by runs. By default, in the run's folder.
        start: File of weights to start from.
        teacher: File of the teacher's weights, for students.
        low_level: Let students follow the teacher's low-level features too.
        vgg: File of a VGG19 state dict. Without this file the perceptual term is off.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or another device of torch.
        save_every: Seconds between two checkpoints; zero saves after every step.
        threads: Number of CPU threads. By default, torch's choice.
        steps: Number of steps, instead of the recipe's.
        batch: Number of scenes in a batch, instead of the recipe's.
        crop: Side of the crops in pixels, instead of the recipe's.
        learning_rate: Learning rate, instead of the recipe's.
        scenes: Number of scenes, instead of the recipe's.
        scene_size: Side of the scenes in pixels, instead of the recipe's.
        seed: Seed of everything random, instead of the recipe's.

    Returns:
        The trained weights' file, the learning curves and the final loss.

    Raises:
        UsageError: The name is unknown or is a module, the data or weights cannot be used, or the
            numbers do not fit together.
        WeightsError: A file of weights cannot be read or does not fit.
        TrainingError: The loss is not finite.
        OutputError: A file cannot be written.

    Example:
        >>> made = edgeexpo.train(
        ...     "lrl-mobile",
        ...     maps_and_photographs,
        ...     output=folder / "run",
        ...     steps=2,
        ...     batch=2,
        ...     crop=32,
        ...     scenes=4,
        ...     scene_size=64,
        ... )
        >>> made.path.name, made.steps
        ('lrl-mobile.safetensors', 2)
    """
    if not isinstance(model, str):
        raise UsageError(
            f"model is a {type(model).__name__}; train takes a name of the zoo, whose recipe it "
            "follows: train a module of your own by your own loop"
        )
    changes = given(
        steps=steps,
        batch=batch,
        crop=crop,
        learning_rate=learning_rate,
        scenes=scenes,
        scene_size=scene_size,
        seed=seed,
    )
    recipe = dataclasses.replace(recipes.recipe(model), low_level=low_level, **changes)
    folder = Path("runs") / recipe.preset if output is None else Path(output)
    if vgg is None and recipe.objective in ("two-phase", "distilled"):
        note("perceptual term: off (give a VGG19 state_dict with `vgg`)")
    settings = Settings(
        data=Path(data),
        output=folder,
        scenes=optional_path(scenes_dir),
        start=optional_path(start),
        teacher=optional_path(teacher),
        vgg=optional_path(vgg),
        device=device,
        threads=threads,
        save_seconds=save_every,
    )
    training = run(recipe, settings)
    return TrainedWeights(
        recipe.preset,
        folder / f"{recipe.preset}.safetensors",
        folder / "curve.png",
        training.step,
        training.seconds,
        training.validated[-1][1],
    )
