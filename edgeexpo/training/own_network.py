"""Training of a user's network to imitate itself: the recipe, the scenes and the objective.

Such a network has no recipe of its own and no ground truth. Its float form is the teacher, so that
pictures like those that it will see are enough.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from edgeexpo.errors import UsageError
from edgeexpo.program.tensors import picture_tensor, tensor_picture
from edgeexpo.runtime.stages import front
from edgeexpo.spec import ModelSpec, SizeRange
from edgeexpo.training import losses
from edgeexpo.training.objectives import STRUCTURE_WEIGHT, Batch, Objective
from edgeexpo.training.recipes import TrainingRecipe
from edgeexpo.training.scenes import SHOTS

CROP = 128
"""Default height and width in pixels of the crops for a network that runs in tiles."""

SCENE_SIDE = 256
"""Smallest height and width in pixels of the scenes for such a network."""

SCENES = 240
"""Default number of scenes."""

MOST_SCENES_IN_A_BATCH, MOST_PIXELS_IN_A_BATCH = 8, 8 * 128**2
"""Default bounds of a batch, so that large pictures do not fill the memory."""

Size = tuple[int, int]


def training_size(spec: ModelSpec, sizes: SizeRange, whole: Size, crop: int | None) -> Size:
    """Return the (height, width) in pixels of a network's inputs in training.

    A network that runs in tiles trains on crops. A network that looks at the whole picture trains
    on whole pictures, and one of a fixed size at that size.

    Args:
        spec: The network.
        sizes: Sizes that its program takes.
        whole: Size of a whole picture, at which the network is calibrated.
        crop: Height and width that a user chose. ``None`` for the default.

    Raises:
        UsageError: The program does not take ``crop``, or it is larger than ``whole``.
    """
    low, step = sizes.smallest, sizes.multiple
    if sizes.smallest == sizes.largest:
        if crop is not None and (crop, crop) != whole:
            raise UsageError(
                f"`crop` is {crop}; {spec.name} takes pictures of {whole[0]}x{whole[1]} only: "
                "leave it out"
            )
        return whole
    if crop is None:
        height, width = (
            s if spec.halo is None else max(least, min(s, CROP) // step * step)
            for s, least in zip(whole, low, strict=True)
        )
        return height, width
    if crop % step or not max(low) <= crop <= min(whole):
        raise UsageError(
            f"`crop` is {crop}; {spec.name} trains on crops of {max(low)} to {min(whole)} pixels"
            + (f", in multiples of {step}" if step > 1 else "")
        )
    return crop, crop


def own_recipe(spec: ModelSpec, size: Size, steps: int, learning_rate: float) -> TrainingRecipe:
    """Return the recipe by which a network imitates itself.

    Args:
        spec: The network.
        size: (height, width) in pixels of its inputs in training.
        steps: Number of updates.
        learning_rate: Peak learning rate.
    """
    crop = max(spec.frame_size(size))
    scene = crop if spec.halo is None else max(crop, *spec.frame_size((SCENE_SIDE, SCENE_SIDE)))
    count = MOST_PIXELS_IN_A_BATCH // (size[0] * size[1])
    return TrainingRecipe(
        spec.name,
        "imitation",
        steps=steps,
        batch=max(1, min(MOST_SCENES_IN_A_BATCH, count)),
        crop=crop,
        learning_rate=learning_rate,
        scenes=SCENES,
        scene_size=scene,
        weight_decay=0.0,
    )


def own_objective(spec: ModelSpec, size: Size) -> Objective:
    """Return the objective of a network without ground truth.

    Outputs are compared in the range of pictures, [0, 1]. The error of a picture is
    :func:`edgeexpo.training.losses.structure_loss`. The error of other outputs, and of pictures
    below the window of SSIM, is the mean absolute difference.

    Args:
        spec: The network. Its ``front`` makes the inputs from frames.
        size: (height, width) in pixels of its inputs in training.
    """
    height, width = spec.frame_size(size)
    names = tuple(f"frame{index}" for index in range(len(spec.frames)))

    def inputs(batch: Batch) -> tuple[Tensor, ...]:
        return _inputs(spec, [batch[name][..., :height, :width] for name in names])

    return Objective(
        f"{SHOTS}{len(spec.frames)}",
        names,
        inputs,
        _no_truth,
        _error(spec),
        _no_truth,
        permute=False,
        shown=_shown(spec),
    )


def _inputs(spec: ModelSpec, frames: list[Tensor]) -> tuple[Tensor, ...]:
    """Return the network's inputs, NxCxHxW each, for frames of Nx3xHxW in sRGB and [0, 1]."""
    if spec.front is None:
        return tuple(frames)
    device = frames[0].device
    made = [
        front(spec, [tensor_picture(frame[None].cpu()) for frame in picture], None)
        for picture in zip(*frames, strict=True)
    ]
    return tuple(
        torch.cat([picture_tensor(given[tensor.name]) for given in made]).to(device)
        for tensor in spec.inputs
    )


def _shown(spec: ModelSpec) -> Callable[[Tensor], Tensor]:
    low, high = spec.outputs[0].value_range
    return lambda output: (output - low) / (high - low)


def _error(spec: ModelSpec) -> Callable[[Tensor, Tensor], Tensor]:
    picture = spec.outputs[0].color in ("RGB", "Y")

    def error(output: Tensor, wanted: Tensor) -> Tensor:
        if not picture or min(output.shape[2:]) < losses.LOSS_SSIM_WINDOW:
            return torch.mean(torch.abs(output - wanted))
        return losses.structure_loss(output, wanted, STRUCTURE_WEIGHT)

    return error


def _no_truth(*_: object) -> Tensor:
    raise NotImplementedError("a user's network has no ground truth; it imitates itself")
