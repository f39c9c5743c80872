"""What each system minimises: a network and a batch in, a scalar out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from edgeexpo.quantization.synthetic_pictures import crop_of, flat, pattern
from edgeexpo.training import losses
from edgeexpo.training.perceptual import Perceptual

LUMA = (0.299, 0.587, 0.114)
"""BT.601, as in the runtime's ``luma`` stage."""

STRUCTURE_WEIGHT = 0.5
"""Weight of ``1 - SSIM`` in the students' loss where there is no VGG19."""

IMITATION = 10.0
"""Weight of the distance from the network before compression."""

BLOCKS = (4, 16)
"""Sides of the blocks whose mean colours a compressed network keeps: 16 pixels as in the gate on
flicker, and 4, which is as much of a picture that is four times as large as the network's."""

_BRACKET = ("under", "over", "near", "far", "truth")

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Helpers:
    """Frozen networks that some losses need; ``None`` where there is none.

    Attributes:
        teacher: Auto-encoder whose features students follow.
        perceptual: VGG19 distance; without it the published perceptual terms are off.
        low_level: Students follow the teacher's low-level features too. The published equation
            has the trunk's only, the authors' replies to reviewers add these.
    """

    teacher: Any = None
    perceptual: Perceptual | None = None
    low_level: bool = False

    def distance(self, predicted: Tensor, truth: Tensor, weight: float) -> Tensor | float:
        """``weight`` times the perceptual distance, or 0 without VGG19."""
        return 0.0 if self.perceptual is None else weight * self.perceptual(predicted, truth)


@dataclass(frozen=True)
class Objective:
    """What a network is given, what it should give, and how far off it is.

    Attributes:
        scenes: Kind of scenes (:data:`edgeexpo.training.scenes.MAKERS`).
        tensors: Tensors of a scene, the network's picture first.
        inputs: The network's inputs of a batch.
        truth: What its output should be.
        error: Of an output and its truth; the system's loss without terms that need the network.
        loss: The system's whole loss of a network on a batch.
        permute: Colour channels may be permuted.
    """

    scenes: str
    tensors: tuple[str, ...]
    inputs: Callable[[Batch], tuple[Tensor, ...]]
    truth: Callable[[Batch], Tensor]
    error: Callable[[Tensor, Tensor], Tensor]
    loss: Callable[[nn.Module, Batch, Helpers], Tensor]
    permute: bool = True


def _inputs(*names: str) -> Callable[[Batch], tuple[Tensor, ...]]:
    return lambda batch: tuple(batch[name] for name in names)


def _truth(batch: Batch) -> Tensor:
    return batch["truth"]


def _pair(batch: Batch) -> tuple[Tensor, Tensor]:
    """The bracket's ends for the first half of a batch, random frames of it for the second."""
    half = (len(batch["under"]) + 1) // 2
    under = torch.cat([batch["under"][:half], batch["near"][half:]])
    over = torch.cat([batch["over"][:half], batch["far"][half:]])
    return under, over


def _absolute(output: Tensor, truth: Tensor) -> Tensor:
    return torch.mean(torch.abs(output - truth))


def _structure(output: Tensor, truth: Tensor) -> Tensor:
    return losses.structure_loss(output, truth, STRUCTURE_WEIGHT)


def _interpolation() -> Objective:
    """LRL: squared error and colour angle of the repaired exposure."""

    def loss(network: nn.Module, batch: Batch, _: Helpers) -> Tensor:
        return losses.interpolation_loss(network(batch["y0"]), batch["truth"])

    tensors = ("y0", "truth")
    return Objective(
        "interpolation", tensors, _inputs("y0"), _truth, losses.interpolation_loss, loss
    )


def _two_phase() -> Objective:
    """Two-phase fusion, either phase: L1 + 0.5 (1 - SSIM) + 0.1 VGG."""
    inputs = _inputs("under", "over")

    def loss(network: nn.Module, batch: Batch, helpers: Helpers) -> Tensor:
        fused = network(*inputs(batch))
        error = losses.structure_loss(fused, batch["truth"])
        return error + helpers.distance(fused, batch["truth"], 0.1)

    tensors = ("under", "over", "truth")
    return Objective("fusion", tensors, inputs, _truth, losses.structure_loss, loss)


def _correction(encode: Callable[[Tensor], Tensor]) -> Objective:
    """ExpoNet: summed L1 plus L2 on the weights, over the number of values."""

    def error(output: Tensor, truth: Tensor) -> Tensor:
        return losses.summed_loss(output, truth) / truth[0].numel()

    def loss(network: nn.Module, batch: Batch, _: Helpers) -> Tensor:
        output, truth = network(encode(batch["picture"])), encode(batch["truth"])
        summed = losses.summed_loss(output, truth) + losses.weight_penalty(network)
        return summed / truth[0].numel()

    return Objective(
        "correction",
        ("picture", "truth"),
        lambda batch: (encode(batch["picture"]),),
        lambda batch: encode(batch["truth"]),
        error,
        loss,
        permute=False,
    )


def _expansion() -> Objective:
    """ExpandNet: L1 + 5 cosine on relative radiance; the thumbnail is the whole picture."""

    def inputs(batch: Batch) -> tuple[Tensor, ...]:
        thumbnail = batch["whole"]
        if thumbnail.shape[2:] != (256, 256):
            thumbnail = nn.functional.interpolate(thumbnail, (256, 256), mode="bilinear")
        return batch["picture"], thumbnail

    def loss(network: nn.Module, batch: Batch, _: Helpers) -> Tensor:
        return losses.radiance_loss(network(*inputs(batch)), batch["truth"])

    tensors = ("picture", "truth")
    return Objective("expansion", tensors, inputs, _truth, losses.radiance_loss, loss)


def _reconstruction() -> Objective:
    """The teacher: L1 of the reconstruction."""

    def loss(network: nn.Module, batch: Batch, _: Helpers) -> Tensor:
        return _absolute(network(batch["truth"]), batch["truth"])

    return Objective("fusion", ("truth",), _inputs("truth"), _truth, _absolute, loss)


def _distilled() -> Objective:
    """Students: L1 + 0.1 distillation + 0.05 perceptual, half of the batch on random pairs.

    Without VGG19 an SSIM term stands in for the perceptual one (:data:`STRUCTURE_WEIGHT`): with L1
    alone short runs stay soft.
    """

    def loss(network: nn.Module, batch: Batch, helpers: Helpers) -> Tensor:
        fused, taps = _with_features(network, *_pair(batch))
        structure = STRUCTURE_WEIGHT if helpers.perceptual is None else 0.0
        total = losses.structure_loss(fused, batch["truth"], structure)
        total = total + _distance_of_features(taps, batch["truth"], helpers)
        return total + helpers.distance(fused, batch["truth"], 0.05)

    return Objective("fusion", _BRACKET, _pair, _truth, _structure, loss)


def _distilled_luma() -> Objective:
    """The baseline: the same on luminance, without perceptual term; the teacher sees it as grey."""

    def inputs(batch: Batch) -> tuple[Tensor, ...]:
        return tuple(luma_of_tensor(frame) for frame in _pair(batch))

    def truth(batch: Batch) -> Tensor:
        return luma_of_tensor(batch["truth"])

    def loss(network: nn.Module, batch: Batch, helpers: Helpers) -> Tensor:
        wanted = truth(batch)
        fused, taps = _with_features(network, *inputs(batch))
        followed = _distance_of_features(taps, wanted.repeat(1, 3, 1, 1), helpers)
        return _structure(fused, wanted) + followed

    return Objective("fusion", _BRACKET, inputs, truth, _structure, loss, permute=False)


def luma_of_tensor(picture: Tensor) -> Tensor:
    """Nx3xHxW, sRGB-encoded, to Nx1xHxW: Y of BT.601, full range."""
    weights = picture.new_tensor(LUMA).view(1, 3, 1, 1)
    return (picture * weights).sum(dim=1, keepdim=True)


def rgb_to_lab_tensor(picture: Tensor) -> Tensor:
    """Nx3xHxW, sRGB in [0,1], to CIE Lab (D65) in the network's scale: L/50-1, a/128, b/128."""
    linear = torch.where(
        picture <= 0.04045, picture / 12.92, ((picture.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    )
    matrix = picture.new_tensor(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    white = picture.new_tensor([0.95047, 1.0, 1.08883]).view(1, 3, 1, 1)
    xyz = torch.einsum("ij,njhw->nihw", matrix, linear) / white
    root = torch.where(xyz > 0.008856, xyz.clamp(min=0.008856) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = root.unbind(dim=1)
    return torch.stack([(116 * y - 16) / 50 - 1, 500 * (x - y) / 128, 200 * (y - z) / 128], dim=1)


OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {
        "interpolation": _interpolation(),
        "two-phase": _two_phase(),
        "reconstruction": _reconstruction(),
        "distilled": _distilled(),
        "distilled-luma": _distilled_luma(),
        "correction-rgb": _correction(lambda picture: picture),
        "correction-lab": _correction(rgb_to_lab_tensor),
        "expansion": _expansion(),
    }
)
"""Name in a recipe -> objective."""


def imitation(
    objective: Objective,
    teacher: nn.Module,
    others: Sequence[tuple[Tensor, ...]] = (),
    *,
    exact: bool = False,
    weight: float = IMITATION,
) -> Objective:
    """What a compressed network minimises: the system's error, and to show what it showed before.

    A pruned network may find another way to the truth; a quantised one shall be the one it was:
    ``exact`` takes the system's error, too, from the teacher's output.

    More pictures go with every batch, for the teacher's term alone: a flat one, since skies and
    walls are where rounding shows first and no crop of a photograph is as flat; a drawn one
    (:mod:`edgeexpo.quantization.synthetic_pictures`), since ranges are used to their ends by detail
    that is harder than a photograph's; and one of ``others``.

    Args:
        objective: Of the system.
        teacher: The network before compression, in eval mode; given the same inputs.
        others: Inputs of the network, 1xCxHxW each, at least as large as the crops trained on.
        exact: The teacher's output is the truth.
        weight: Of the mean L1 from the teacher's output, and of that between the mean colours of
            blocks: a shift that is too small to count in a pixel is a tint there, and from frame to
            frame a flicker. The system's error weighs 1.
    """

    def loss(network: nn.Module, batch: Batch, _: Helpers) -> Tensor:
        given = objective.inputs(batch)
        extra = [flat(given), pattern(given)] + ([crop_of(given, others)] if others else [])
        every = tuple(torch.cat(pictures) for pictures in zip(given, *extra, strict=True))
        output = network(*every)
        with torch.no_grad():
            wanted = teacher(*every)
        count = len(output) - len(extra)
        truth = wanted[:count] if exact else objective.truth(batch)
        imitated = _absolute(output, wanted)
        for side in BLOCKS:
            imitated += _absolute(_blocks(output, side), _blocks(wanted, side))
        return objective.error(output[:count], truth) + weight * imitated

    return dataclasses.replace(objective, loss=loss)


def _blocks(picture: Tensor, side: int) -> Tensor:
    """Mean colours of blocks of ``side`` pixels, and of what is left at the end, NxCxHxW."""
    return nn.functional.avg_pool2d(picture, side, ceil_mode=True)


def _with_features(network: Any, *frames: Tensor) -> tuple[Tensor, list[Tensor]]:
    fused, taps = network.with_features(*frames)
    return fused, taps


def _distance_of_features(taps: list[Tensor], truth: Tensor, helpers: Helpers) -> Tensor | float:
    """0.1 times the distance of the features from the teacher's; 0 without a teacher."""
    if helpers.teacher is None:
        return 0.0
    with torch.no_grad():
        wanted = helpers.teacher.features(truth)
    start = 0 if helpers.low_level else 1
    return 0.1 * losses.distillation_loss(taps[start:], wanted[start:])
