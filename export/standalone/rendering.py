"""The rendering of a small result at full size, as a torch module of one size.

It computes what :mod:`edgeexpo.imaging.rendering` computes, in operators that every target has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from edgeexpo.export.standalone.axes import AlongAxes, box_means, resizing
from edgeexpo.export.standalone.fusion import Shares, Structure, applied
from edgeexpo.export.standalone.planes import Planes, channels, luma, product_sum
from edgeexpo.imaging.rendering import (
    BRIGHTER,
    CLIPPED,
    DARKEST,
    LIT,
    SEEN_RADIUS,
    WEAK,
    Rendering,
)
from edgeexpo.imaging.structure import MEASURES


class Render(torch.nn.Module):
    """Full-size frames with the tone and the colour of a network's small result.

    Args:
        frames: Number of frames.
        size: Height and width of the frames.
        small: Height and width of the network's result.
        chosen: The parameters of the rendering.
    """

    def __init__(
        self, frames: int, size: tuple[int, int], small: tuple[int, int], chosen: Rendering
    ) -> None:
        super().__init__()
        self.structure = Structure(size) if frames > 1 else None
        self.tone = _Tone(frames, small, chosen)
        self.enlarge_tone: AlongAxes = resizing(small, size, "bilinear")
        if self.structure is not None:
            low = self.structure.low
            self.shrink_structure: AlongAxes = resizing(low, small)
            self.enlarge_structure: AlongAxes = resizing(low, size, "bilinear")

    def forward(
        self, result: torch.Tensor, copies: Sequence[torch.Tensor], frames: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Return the picture, 1x3xHxW in [0, 1].

        Args:
            result: The network's result, 1x3xhxw in [0, 1].
            copies: The frames at the result's size, 1x3xhxw each.
            frames: The frames, 1x3xHxW each.
        """
        if self.structure is None:
            base, small_base = frames[0], copies[0]
        else:
            maps = self.structure(frames)
            base = applied(self.enlarge_structure(maps), frames)
            small_base = applied(self.shrink_structure(maps), copies)
        tone = channels(self.enlarge_tone(self.tone(result, copies, small_base)))
        count = len(frames)
        before = luma(base)
        lumas = [before] if self.structure is None else [luma(frame) for frame in frames]
        ratio, after = _ratio(tone[: count + 1], lumas, before)
        picture = (base - before) * (ratio * tone[count + 1]) + after
        if len(tone) > count + 2:
            picture = picture + torch.cat(tone[count + 2 :], 1)
        return picture.clamp(0, 1)


class _Tone(torch.nn.Module):
    """The maps that turn the structure into the network's picture, at its small size."""

    def __init__(self, frames: int, small: tuple[int, int], chosen: Rendering) -> None:
        super().__init__()
        self._chosen, self._count = chosen, frames
        self.window: AlongAxes = box_means(small, chosen.radius)
        self.spread: AlongAxes = box_means(small, chosen.spread)
        if frames > 1:
            self.shares = Shares(small, MEASURES)
            self.hue_spread: AlongAxes = box_means(small, max(1, chosen.spread // 2))
            self.seen_mean: AlongAxes = box_means(small, SEEN_RADIUS)

    def forward(
        self, wanted: torch.Tensor, frames: Sequence[torch.Tensor], base: torch.Tensor
    ) -> torch.Tensor:
        """Return the slopes, the level, the gain and the added colour differences, 1xMxhxw."""
        chosen = self._chosen
        lumas = [luma(frame) for frame in frames]
        aim, before = luma(wanted), luma(base)
        affine = self._fit(lumas, aim - before)
        ratio, _ = _ratio(affine, lumas, before)
        own, asked = (base - before) * ratio, wanted - aim
        strong = [self._mean_product(c, c) + float(WEAK) for c in (own, asked)]
        gain = torch.sqrt(strong[1] / strong[0]).clamp(chosen.least_gain, chosen.largest_gain)
        agreement = self._mean_product(asked, own) / torch.sqrt(strong[0] * strong[1])
        above = (gain - 1).clamp(min=0) * agreement.clamp(0, 1)
        gain = gain.clamp(max=1) + above
        if self._count == 1:
            return torch.cat([*affine, gain], 1)
        return torch.cat([*affine, gain, self._hue(own, asked, gain, base - before, frames)], 1)

    def _fit(self, guides: Planes, target: torch.Tensor) -> Planes:
        """Do as :func:`edgeexpo.imaging.local_affine.fit_bounded` does."""
        chosen, count = self._chosen, len(guides)
        means = [self.window(guide) for guide in guides]
        target_mean = self.window(target)
        matrix = {
            (i, j): self.window(guides[i] * guides[j]) - means[i] * means[j]
            for i in range(count)
            for j in range(i, count)
        }
        for i in range(count):
            matrix[i, i] = matrix[i, i] + chosen.eps
        right = [
            self.window(guide * target) - mean * target_mean
            for guide, mean in zip(guides, means, strict=True)
        ]
        slopes = [s.clamp(chosen.least_slope, chosen.largest_slope) for s in _solved(matrix, right)]
        level = target_mean
        for slope, mean in zip(slopes, means, strict=True):
            level = level - slope * mean
        return channels(self.window(torch.cat([*slopes, level], 1)))

    def _mean_product(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.spread(self.spread(product_sum(a, b)))  # type: ignore[no-any-return]

    def _hue(
        self,
        own: torch.Tensor,
        asked: torch.Tensor,
        gain: torch.Tensor,
        chroma: torch.Tensor,
        frames: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        chosen = self._chosen
        hue: torch.Tensor = self.hue_spread(self.hue_spread(asked - gain * own))
        energy = self._mean_product(chroma, chroma)
        share = self._unseen(frames) * energy / (energy + chosen.hue_floor**2)
        length = torch.sqrt(product_sum(hue, hue)).clamp(min=chosen.largest_hue)
        return hue * (share * (chosen.largest_hue / length))

    def _unseen(self, frames: Sequence[torch.Tensor]) -> torch.Tensor:
        parts = [
            _ramp(luma(frame), *LIT)
            * _ramp(frame.amax(1, keepdim=True), *CLIPPED)
            * self.seen_mean(share)
            for frame, share in zip(frames, self.shares(frames), strict=True)
        ]
        seen: torch.Tensor = self.seen_mean(sum(parts[1:], start=parts[0]))
        return 1 - seen


def _ramp(values: torch.Tensor, start: float, end: float) -> torch.Tensor:
    """Return 0 at ``start`` and 1 at ``end``, linear between and constant outside."""
    return ((values - start) * float(np.float32(1 / (end - start)))).clamp(0, 1)


def _ratio(
    affine: Sequence[torch.Tensor], lumas: Sequence[torch.Tensor], before: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the factor of colour differences and the new luma, 1x1xHxW each.

    Args:
        affine: Slopes of the frames' lumas and the level.
        lumas: The frames' lumas.
        before: Luma of the structure.
    """
    held = before.clamp(min=float(DARKEST))
    after = held + affine[len(lumas)]
    for slope, grey in zip(affine, lumas, strict=False):
        after = after + slope * grey
    after = after.clamp(0, 1)
    return (after / held).clamp(max=float(BRIGHTER)), after


def _solved(matrix: dict[tuple[int, int], torch.Tensor], right: Planes) -> Planes:
    """Solve symmetric positive definite equations at every pixel by Gaussian elimination.

    Args:
        matrix: The upper triangle, 1x1xhxw each. It is overwritten.
        right: The right side, which is overwritten.
    """
    count = len(right)
    for p in range(count):
        for i in range(p + 1, count):
            factor = matrix[p, i] / matrix[p, p]
            for j in range(i, count):
                matrix[i, j] = matrix[i, j] - factor * matrix[p, j]
            right[i] = right[i] - factor * right[p]
    for p in reversed(range(count)):
        for j in range(p + 1, count):
            right[p] = right[p] - matrix[p, j] * right[j]
        right[p] = right[p] / matrix[p, p]
    return right
