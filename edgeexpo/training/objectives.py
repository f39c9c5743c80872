"""What each system minimises: a network and a batch in, a scalar out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from edgeexpo.training import losses
from edgeexpo.training.perceptual import Perceptual

LUMA = (0.299, 0.587, 0.114)
"""BT.601, as in the runtime's ``luma`` stage."""


STRUCTURE = 0.5
"""Weight of ``1 - SSIM`` in the students' loss where there is no VGG19."""


@dataclass(frozen=True)
class Helpers:
    """Frozen networks that some losses need; ``None`` where there is none.

    Attributes:
        teacher: Auto-encoder whose features students follow.
        perceptual: VGG19 distance; without it the published perceptual terms are off.
    """

    teacher: Any = None
    perceptual: Perceptual | None = None

    def distance(self, predicted: Tensor, truth: Tensor, weight: float) -> Tensor | float:
        """``weight`` times the perceptual distance, or 0 without VGG19."""
        return 0.0 if self.perceptual is None else weight * self.perceptual(predicted, truth)


@dataclass(frozen=True)
class Objective:
    """A loss and what it needs.

    Attributes:
        scenes: Kind of scenes (:data:`edgeexpo.training.scenes.MAKERS`).
        tensors: Tensors of a scene, the network's picture first.
        loss: The function.
        permute: Colour channels may be permuted.
    """

    scenes: str
    tensors: tuple[str, ...]
    loss: Callable[[nn.Module, Mapping[str, Tensor], Helpers], Tensor]
    permute: bool = True


def interpolation(network: nn.Module, batch: Mapping[str, Tensor], _: Helpers) -> Tensor:
    """LRL: squared error and colour angle of the repaired exposure."""
    return losses.interpolation_loss(network(batch["y0"]), batch["truth"])


def two_phase(network: nn.Module, batch: Mapping[str, Tensor], helpers: Helpers) -> Tensor:
    """Two-phase fusion, either phase: L1 + 0.5 (1 - SSIM) + 0.1 VGG."""
    fused = network(batch["under"], batch["over"])
    loss = losses.structure_loss(fused, batch["truth"])
    return loss + helpers.distance(fused, batch["truth"], 0.1)


def correction_rgb(network: nn.Module, batch: Mapping[str, Tensor], _: Helpers) -> Tensor:
    """ExpoNet in RGB: summed L1 plus L2 on the weights, over the number of values."""
    return _corrected(network, batch["picture"], batch["truth"])


def correction_lab(network: nn.Module, batch: Mapping[str, Tensor], _: Helpers) -> Tensor:
    """ExpoNet in Lab: the same on L/50-1, a/128, b/128."""
    return _corrected(network, rgb_to_lab(batch["picture"]), rgb_to_lab(batch["truth"]))


def expansion(network: nn.Module, batch: Mapping[str, Tensor], _: Helpers) -> Tensor:
    """ExpandNet: L1 + 5 cosine on relative radiance; the thumbnail is the whole picture."""
    thumbnail = batch["whole"]
    if thumbnail.shape[2:] != (256, 256):
        thumbnail = nn.functional.interpolate(thumbnail, (256, 256), mode="bilinear")
    return losses.radiance_loss(network(batch["picture"], thumbnail), batch["truth"])


def reconstruction(network: nn.Module, batch: Mapping[str, Tensor], _: Helpers) -> Tensor:
    """The teacher: L1 of the reconstruction."""
    return torch.mean(torch.abs(network(batch["truth"]) - batch["truth"]))


def distilled(network: nn.Module, batch: Mapping[str, Tensor], helpers: Helpers) -> Tensor:
    """Students: L1 + 0.1 distillation + 0.05 perceptual, half of the batch on random pairs.

    Without VGG19 an SSIM term stands in for the perceptual one (:data:`STRUCTURE`): with L1 alone
    short runs stay soft.
    """
    pair = _pair(batch)
    fused, taps = _with_features(network, *pair)
    structure = STRUCTURE if helpers.perceptual is None else 0.0
    loss = losses.structure_loss(fused, batch["truth"], structure)
    if helpers.teacher is not None:
        with torch.no_grad():
            wanted = helpers.teacher.features(batch["truth"])
        loss = loss + 0.1 * losses.distillation_loss(taps, wanted)
    return loss + helpers.distance(fused, batch["truth"], 0.05)


def distilled_luma(network: nn.Module, batch: Mapping[str, Tensor], helpers: Helpers) -> Tensor:
    """The baseline: the same on luminance, without perceptual term; the teacher sees it as grey."""
    truth = luma(batch["truth"])
    fused, taps = _with_features(network, *(luma(frame) for frame in _pair(batch)))
    loss = losses.structure_loss(fused, truth, STRUCTURE)
    if helpers.teacher is not None:
        with torch.no_grad():
            wanted = helpers.teacher.features(truth.repeat(1, 3, 1, 1))
        loss = loss + 0.1 * losses.distillation_loss(taps, wanted)
    return loss


OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {
        "interpolation": Objective("interpolation", ("y0", "truth"), interpolation),
        "two-phase": Objective("fusion", ("under", "over", "truth"), two_phase),
        "reconstruction": Objective("fusion", ("truth",), reconstruction),
        "distilled": Objective("fusion", ("under", "over", "near", "far", "truth"), distilled),
        "distilled-luma": Objective(
            "fusion", ("under", "over", "near", "far", "truth"), distilled_luma, permute=False
        ),
        "correction-rgb": Objective(
            "correction", ("picture", "truth"), correction_rgb, permute=False
        ),
        "correction-lab": Objective(
            "correction", ("picture", "truth"), correction_lab, permute=False
        ),
        "expansion": Objective("expansion", ("picture", "truth"), expansion),
    }
)
"""Name in a recipe -> objective."""


def luma(picture: Tensor) -> Tensor:
    """Nx3xHxW, sRGB-encoded, to Nx1xHxW: Y of BT.601, full range."""
    weights = picture.new_tensor(LUMA).view(1, 3, 1, 1)
    return (picture * weights).sum(dim=1, keepdim=True)


def rgb_to_lab(picture: Tensor) -> Tensor:
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


def _corrected(network: nn.Module, picture: Tensor, truth: Tensor) -> Tensor:
    summed = losses.summed_loss(network(picture), truth) + losses.weight_penalty(network)
    return summed / truth[0].numel()


def _pair(batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The bracket's ends for the first half of a batch, random frames of it for the second."""
    half = (len(batch["under"]) + 1) // 2
    under = torch.cat([batch["under"][:half], batch["near"][half:]])
    over = torch.cat([batch["over"][:half], batch["far"][half:]])
    return under, over


def _with_features(network: Any, *frames: Tensor) -> tuple[Tensor, list[Tensor]]:
    fused, taps = network.with_features(*frames)
    return fused, taps
