"""The objective that each system minimises: a scalar function of a network and a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from edgeexpo.imaging.color import LUMA
from edgeexpo.quantization.synthetic_pictures import crop_of, flat, pattern
from edgeexpo.training import losses
from edgeexpo.training.perceptual import Perceptual

STRUCTURE_WEIGHT = 0.5
"""Weight of ``1 - SSIM`` in the students' loss where there is no VGG19."""

IMITATION = 10.0
"""Weight of a compressed network's distance from the network before compression."""

BLOCKS = (4, 16)
"""Sides in pixels of the blocks whose mean colours a compressed network keeps.

16 pixels are the blocks of the gate on flicker. 4 pixels cover 16 pixels of a picture that is four
times as large as the network's."""

_BRACKET = ("under", "over", "near", "far", "truth")

Batch = Mapping[str, Tensor]
"""Tensors of a batch by name, BxCxHxW each."""


@dataclass(frozen=True)
class Helpers:
    """Frozen networks that some losses need. ``None`` stands for a missing network.

    Attributes:
        teacher: Auto-encoder whose features students follow.
        perceptual: VGG19 distance. Without it the published perceptual terms are off.
        low_level: True when students also follow the teacher's low-level features. The published
            equation contains only features of the trunk. The authors' replies to reviewers add
            the low-level features.
    """

    teacher: Any = None
    perceptual: Perceptual | None = None
    low_level: bool = False

    def distance(self, predicted: Tensor, truth: Tensor, weight: float) -> Tensor | float:
        """Return ``weight`` times the perceptual distance, or 0 without VGG19."""
        return 0.0 if self.perceptual is None else weight * self.perceptual(predicted, truth)


@dataclass(frozen=True)
class Objective:
    """A network's inputs, its desired output, and the loss that compares outputs with it.

    Attributes:
        scenes: Kind of scenes (:data:`edgeexpo.training.scenes.MAKERS`).
        tensors: Names of the tensors of a scene, the network's picture first.
        inputs: Function from a batch to the network's inputs.
        truth: Function from a batch to the desired output.
        error: Function of an output and its truth: the system's loss without the terms that need
            the network.
        loss: Function of a network, a batch and helpers: the system's whole loss.
        permute: True when the colour channels may be permuted.
        shown: Function that brings an output of the network to the range in which ``error`` and
            imitation compare it. By default, outputs stay as they are.
    """

    scenes: str
    tensors: tuple[str, ...]
    inputs: Callable[[Batch], tuple[Tensor, ...]]
    truth: Callable[[Batch], Tensor]
    error: Callable[[Tensor, Tensor], Tensor]
    loss: Callable[[nn.Module, Batch, Helpers], Tensor]
    permute: bool = True
    shown: Callable[[Tensor], Tensor] = lambda output: output


def _inputs(*names: str) -> Callable[[Batch], tuple[Tensor, ...]]:
    return lambda batch: tuple(batch[name] for name in names)


def _truth(batch: Batch) -> Tensor:
    return batch["truth"]


def _pair(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the bracket's ends for the first half of a batch, and random frames for the second."""
    half = (len(batch["under"]) + 1) // 2
    under = torch.cat([batch["under"][:half], batch["near"][half:]])
    over = torch.cat([batch["over"][:half], batch["far"][half:]])
    return under, over


def _absolute(output: Tensor, truth: Tensor) -> Tensor:
    return torch.mean(torch.abs(output - truth))


def _structure(output: Tensor, truth: Tensor) -> Tensor:
    return losses.structure_loss(output, truth, STRUCTURE_WEIGHT)


def _interpolation() -> Objective:
    """Build LRL's objective: squared error and colour angle of the repaired exposure."""

    def loss(network: nn.Module, batch: Batch, _: Helpers) -> Tensor:
        return losses.interpolation_loss(network(batch["y0"]), batch["truth"])

    tensors = ("y0", "truth")
    return Objective(
        "interpolation", tensors, _inputs("y0"), _truth, losses.interpolation_loss, loss
    )


def _two_phase() -> Objective:
    """Build the objective of both phases of two-phase fusion: L1 + 0.5 (1 - SSIM) + 0.1 VGG."""
    inputs = _inputs("under", "over")

    def loss(network: nn.Module, batch: Batch, helpers: Helpers) -> Tensor:
        fused = network(*inputs(batch))
        error = losses.structure_loss(fused, batch["truth"])
        return error + helpers.distance(fused, batch["truth"], 0.1)

    tensors = ("under", "over", "truth")
    return Objective("fusion", tensors, inputs, _truth, losses.structure_loss, loss)


def _correction(encode: Callable[[Tensor], Tensor]) -> Objective:
    """Build ExpoNet's objective: summed L1 plus L2 on the weights, over the number of values."""

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
    """Build ExpandNet's objective: L1 + 5 (1 - cosine) on relative radiance.

    The thumbnail shows the whole picture, not the crop.
    """

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
    """Build the teacher's objective: L1 of the reconstruction."""

    def loss(network: nn.Module, batch: Batch, _: Helpers) -> Tensor:
        return _absolute(network(batch["truth"]), batch["truth"])

    return Objective("fusion", ("truth",), _inputs("truth"), _truth, _absolute, loss)


def _distilled() -> Objective:
    """Build the students' objective: L1 + 0.1 distillation + 0.05 perceptual.

    Half of a batch consists of random pairs of frames. Without VGG19 an SSIM term
    (:data:`STRUCTURE_WEIGHT`) replaces the perceptual term, because pictures stay soft after short
    runs with L1 alone.
    """

    def loss(network: nn.Module, batch: Batch, helpers: Helpers) -> Tensor:
        fused, taps = _with_features(network, *_pair(batch))
        structure = STRUCTURE_WEIGHT if helpers.perceptual is None else 0.0
        total = losses.structure_loss(fused, batch["truth"], structure)
        total = total + _distance_of_features(taps, batch["truth"], helpers)
        return total + helpers.distance(fused, batch["truth"], 0.05)

    return Objective("fusion", _BRACKET, _pair, _truth, _structure, loss)


def _distilled_luma() -> Objective:
    """Build the baseline student's objective, on luminance and without the perceptual term.

    The teacher sees the luminance as a grey picture.
    """

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
    """Return the luma of a picture: Nx3xHxW, sRGB-encoded, to Nx1xHxW, Y of BT.601, full range."""
    weights = picture.new_tensor(LUMA).view(1, 3, 1, 1)
    return (picture * weights).sum(dim=1, keepdim=True)


def rgb_to_lab_tensor(picture: Tensor) -> Tensor:
    """Convert a picture to CIE L*a*b* (D65) in the network's scale, ``L/50 - 1, a/128, b/128``.

    Args:
        picture: Nx3xHxW, sRGB-encoded, [0, 1].

    Returns:
        Nx3xHxW, about [-1, 1], differentiable.
    """
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
"""Objectives by their names in recipes."""


def imitation(
    objective: Objective,
    teacher: nn.Module,
    others: Sequence[tuple[Tensor, ...]] = (),
    *,
    exact: bool = False,
    weight: float = IMITATION,
) -> Objective:
    """Return the objective of a compressed network: the system's error plus imitation.

    Imitation is the distance from the output of the network before compression, the teacher. A
    pruned network may find another way to the truth, but a quantised network shall stay the same
    network. With ``exact`` the system's error is therefore also measured from the teacher's output.

    The loss adds more pictures to every batch, for the imitation term alone:

    - A flat picture, because rounding shows first in skies and walls, and no crop of a photograph
      is as flat.
    - A drawn picture (:mod:`edgeexpo.quantization.synthetic_pictures`), because its detail is
      harder than a photograph's and uses ranges to their ends.
    - A crop of one of ``others``, if there are any.

    The mean colours of blocks are imitated as well. A shift that is too small to count in a pixel
    is visible there as a tint, and from frame to frame as a flicker.

    Args:
        objective: Objective of the system.
        teacher: Network before compression, in eval mode. It gets the same inputs.
        others: Inputs of the network, 1xCxHxW each, at least as large as the training crops.
        exact: True to use the teacher's output as the truth.
        weight: Weight of the mean L1 from the teacher's output, and of the mean L1 between mean
            colours of blocks. The system's error has weight 1.
    """

    def loss(network: nn.Module, batch: Batch, _: Helpers) -> Tensor:
        given = objective.inputs(batch)
        extra = [flat(given), pattern(given)] + ([crop_of(given, others)] if others else [])
        every = tuple(torch.cat(pictures) for pictures in zip(given, *extra, strict=True))
        output = objective.shown(network(*every))
        with torch.no_grad():
            wanted = objective.shown(teacher(*every))
        count = len(output) - len(extra)
        truth = wanted[:count] if exact else objective.truth(batch)
        imitated = _absolute(output, wanted)
        for side in BLOCKS:
            imitated += _absolute(_blocks(output, side), _blocks(wanted, side))
        return objective.error(output[:count], truth) + weight * imitated

    return dataclasses.replace(objective, loss=loss)


def _blocks(picture: Tensor, side: int) -> Tensor:
    """Return the mean colours of blocks of ``side`` pixels, NxCxHxW. Blocks at the ends are cut."""
    return nn.functional.avg_pool2d(picture, side, ceil_mode=True)


def _with_features(network: Any, *frames: Tensor) -> tuple[Tensor, list[Tensor]]:
    fused, taps = network.with_features(*frames)
    return fused, taps


def _distance_of_features(taps: list[Tensor], truth: Tensor, helpers: Helpers) -> Tensor | float:
    """Return 0.1 times the distance of the features from the teacher's, or 0 without a teacher."""
    if helpers.teacher is None:
        return 0.0
    with torch.no_grad():
        wanted = helpers.teacher.features(truth)
    start = 0 if helpers.low_level else 1
    return 0.1 * losses.distillation_loss(taps[start:], wanted[start:])
