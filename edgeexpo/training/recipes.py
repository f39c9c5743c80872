"""Recipes by which the shipped presets were trained, and which ``edgeexpo train NAME`` follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgeexpo.errors import UsageError
from edgeexpo.models import zoo


@dataclass(frozen=True)
class TrainingRecipe:
    """The settings of a training run, without its data.

    Attributes:
        preset: Name of the network's preset.
        objective: Name in :data:`edgeexpo.training.objectives.OBJECTIVES`.
        steps: Number of updates.
        batch: Number of scenes in each batch.
        crop: Height and width of the network's training crops, in pixels.
        learning_rate: Peak learning rate, after a linear warm-up. A cosine then lowers it to a
            hundredth of the peak.
        scenes: Number of scenes made before training.
        scene_size: Height and width of a scene, in pixels.
        seed: Seed of scenes, batches and initial weights.
        weight_decay: Weight decay of AdamW.
        average: Decay of the running mean of the weights. The mean weights are the result.
        warm_up: Share of the steps in which the learning rate rises.
        clip: Norm to which gradients are clipped.
        teacher: Preset whose network guides this network.
        low_level: True when the teacher's low-level features guide too.
        start: Preset whose weights are the initial weights, where names agree.
        frozen: Prefix of the names of parameters that stay unchanged.
        full: Description of a full recipe on a GPU, for the model card.
    """

    preset: str
    objective: str
    steps: int
    batch: int = 8
    crop: int = 128
    learning_rate: float = 1e-3
    scenes: int = 800
    scene_size: int = 256
    seed: int = 0
    weight_decay: float = 1e-4
    average: float = 0.998
    warm_up: float = 0.02
    clip: float = 1.0
    teacher: str | None = None
    low_level: bool = False
    start: str | None = None
    frozen: str | None = None
    full: str = "Adam, batch 8, 256x256 crops, 200 epochs of a full data set on a GPU"


_PHASE = TrainingRecipe("", "two-phase", steps=1200, batch=4, crop=128)
_STUDENT = TrainingRecipe(
    "", "distilled", steps=2000, batch=4, crop=128, teacher="kdfusion-teacher-mobile"
)
_CORRECTION = TrainingRecipe(
    "",
    "correction-rgb",
    steps=4500,
    batch=16,
    scenes=4000,
    scene_size=128,
    full="Adam 2e-4, batch 64, 100 epochs of 17,675 photographs (Exposure-Errors) on a GPU",
)
_EXPANSION = TrainingRecipe(
    "",
    "expansion",
    steps=1000,
    batch=4,
    crop=96,
    full="Adam 7e-5, batch 12, 10,000 epochs of the authors' radiance maps on a GPU",
)

RECIPES: Mapping[str, TrainingRecipe] = MappingProxyType(
    {
        recipe.preset: recipe
        for recipe in (
            dataclasses.replace(_PHASE, preset="twophase-unet-mobile"),
            dataclasses.replace(
                _PHASE,
                preset="twophase-mobile",
                start="twophase-unet-mobile",
                frozen="phase1.",
                steps=900,
                crop=96,
            ),
            dataclasses.replace(_PHASE, preset="twophase-mean-mobile", steps=900, crop=96),
            dataclasses.replace(
                _STUDENT,
                preset="kdfusion-teacher-mobile",
                objective="reconstruction",
                teacher=None,
                steps=1500,
            ),
            dataclasses.replace(_STUDENT, preset="kdfusion-mobile"),
            dataclasses.replace(_STUDENT, preset="kdfusion-dense-mobile", steps=1500),
            dataclasses.replace(
                _STUDENT, preset="kdfusion-baseline-mobile", objective="distilled-luma", steps=1500
            ),
            dataclasses.replace(_CORRECTION, preset="exponet-mobile"),
            dataclasses.replace(
                _CORRECTION, preset="exponet-lab-mobile", objective="correction-lab"
            ),
            dataclasses.replace(_CORRECTION, preset="exponet-double-mobile", steps=1000),
            dataclasses.replace(_CORRECTION, preset="exponet-double-nobypass-mobile", steps=1000),
            dataclasses.replace(_CORRECTION, preset="exponet-double-plain-mobile", steps=1000),
            dataclasses.replace(
                _CORRECTION,
                preset="exponet-double-lab-mobile",
                objective="correction-lab",
                steps=2500,
            ),
            dataclasses.replace(_EXPANSION, preset="expandnet-full"),
            dataclasses.replace(_EXPANSION, preset="expandnet-mobile"),
            dataclasses.replace(_EXPANSION, preset="expandnet-noglobal-mobile"),
            dataclasses.replace(_EXPANSION, preset="expandnet-nodilated-mobile"),
            dataclasses.replace(_EXPANSION, preset="expandnet-nolocal-mobile"),
            TrainingRecipe(
                "lrl-mobile",
                "interpolation",
                steps=12000,
                crop=64,
                scene_size=320,
                scenes=600,
                clip=0.1,
            ),
            TrainingRecipe(
                "lrl-8",
                "interpolation",
                steps=4000,
                crop=64,
                scene_size=320,
                scenes=600,
                clip=0.1,
                start="lrl-mobile",
            ),
        )
    }
)
"""Recipes by the name of their preset."""


def recipe(name: str) -> TrainingRecipe:
    """Return the recipe of a preset or alias.

    Raises:
        UsageError: The network is unknown or has no recipe.
    """
    preset = zoo.get(name).name
    if preset not in RECIPES:
        raise UsageError(f"{preset} has no recipe; expected one of {', '.join(RECIPES)}")
    return RECIPES[preset]
