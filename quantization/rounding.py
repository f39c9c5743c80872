"""Adaptive rounding: each weight goes up or down as the layer's output wants it, not to the nearer.

M. Nagel et al., "Up or down? Adaptive rounding for post-training quantization", ICML 2020: a layer
learns a soft choice between floor and ceiling of its float codes from the error of its own output,
with a penalty that drives every choice to 0 or 1. As there, the input is that of the rounded
network, the target that of the float one, and a ReLU that follows counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgeexpo.quantization.layerwise import SimulatedLayer
from edgeexpo.quantization.simulation import weight_codes

STRETCH = (-0.1, 1.1)
"""Ends of the stretched sigmoid (zeta and gamma of the paper): 0 and 1 are reached."""

ROUNDING_CROP = 24
MACS = 1e8
"""Multiply-accumulates of one iteration at most: it bounds the pixels, and with them the time."""

ROUNDING_PIXELS = (64, 4096)
"""Fewest and most pixels of one iteration."""

EVERY = 4
"""Every so-manieth picture is left out of the learning, and judges it."""


@dataclass(frozen=True)
class Schedule:
    """How the rounding of a layer is learned.

    Attributes:
        iterations: Of Adam.
        rate: Learning rate of the choices.
        penalty: Weight of what drives choices to 0 or 1, in units of nearest rounding's error.
        exponents: First and last exponent of that penalty: flat at first, then steep.
        free: Share of the iterations before the penalty begins.
    """

    iterations: int = 300
    rate: float = 0.02
    penalty: float = 1.0
    exponents: tuple[float, float] = (20.0, 2.0)
    free: float = 0.2


class AdaptiveRounding:
    """A step of :func:`edgeexpo.quantization.layerwise.adapt` that settles a layer's codes.

    The weight becomes ``scale * code`` with the scale that it had, ``code`` the floor or the
    ceiling of ``weight / scale`` within -127 to 127, and the largest weight of every channel at its
    nearest code, so that the scale, which is taken from it, remains. A layer keeps the nearest
    codes unless the learned ones are better on pictures that were left out of the learning.

    Args:
        seed: Of the crops; the result depends on nothing else by chance.
        schedule: How long and how hard is learned.
    """

    def __init__(self, seed: int = 0, schedule: Schedule | None = None) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._schedule = schedule or Schedule()

    def __call__(self, layer: SimulatedLayer) -> None:
        """Settle the codes of ``layer``; one that stays in float stays as it is."""
        if layer.rounding is None:
            return
        choice = _Choice(layer)
        learned, judging = _divided(len(layer.found))
        with torch.enable_grad():
            hardened = self._learn(layer, choice, learned)
        before = _error(layer, choice.nearest, judging)
        after = _error(layer, hardened, judging)
        layer.weight.copy_(hardened if after < before else choice.nearest)

    def _learn(self, layer: SimulatedLayer, choice: _Choice, pictures: list[int]) -> Tensor:
        plan = self._schedule
        unit = max(_error(layer, choice.nearest, pictures), 1e-20)
        soft = choice.start().requires_grad_(True)
        optimizer = torch.optim.Adam([soft], plan.rate)
        for iteration in range(plan.iterations):
            given, target = self._batch(layer, pictures)
            up = _stretched(soft)
            found = _shown(layer, given, choice.between(up))
            loss = (found - target).square().mean() / unit
            done = (iteration / plan.iterations - plan.free) / (1 - plan.free)
            if done > 0:
                first, last = plan.exponents
                exponent = last + (first - last) * (1 - done)
                loss = loss + plan.penalty * (1 - (2 * up - 1).abs().pow(exponent)).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return choice.between((_stretched(soft.detach()) >= 0.5).float())

    def _batch(self, layer: SimulatedLayer, pictures: list[int]) -> tuple[Tensor, Tensor]:
        """Crops of both inputs at the same places, and the float layer's output on its own."""
        pixels = int(min(max(MACS / layer.weight.numel(), ROUNDING_PIXELS[0]), ROUNDING_PIXELS[1]))
        side = min(ROUNDING_CROP, int(pixels**0.5))
        crops = [self._crop(layer, pictures, side) for _ in range(max(1, pixels // side**2))]
        wanted, found = (torch.cat(tensors) for tensors in zip(*crops, strict=True))
        with torch.no_grad():
            return found, _target(layer, wanted)

    def _crop(self, layer: SimulatedLayer, pictures: list[int], side: int) -> tuple[Tensor, Tensor]:
        index = pictures[self._draw(len(pictures))]
        wanted, found = layer.wanted[index], layer.found[index]
        if wanted.dim() != 4:
            return wanted, found
        height, width = (min(side, size) for size in _smallest(layer.wanted))
        top = self._draw(wanted.shape[2] - height + 1)
        left = self._draw(wanted.shape[3] - width + 1)
        window = (..., slice(top, top + height), slice(left, left + width))
        return wanted[window], found[window]

    def _draw(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self._generator))


class _Choice:
    """Floor and ceiling of every code of a layer's weight."""

    def __init__(self, layer: SimulatedLayer) -> None:
        assert layer.rounding is not None
        observer = layer.rounding.observer
        scale, _ = weight_codes(observer, layer.weight)
        shape = [1] * layer.weight.dim()
        shape[observer.ch_axis] = -1
        self._scale = scale.reshape(shape).float()
        self._codes = layer.weight / self._scale
        nearest = self._codes.round().clamp(observer.quant_min, observer.quant_max)
        outermost = nearest.abs() >= observer.quant_max
        self._low = torch.where(outermost, nearest, self._codes.floor())
        self._high = torch.where(outermost, nearest, self._codes.floor() + 1)
        self.nearest = nearest * self._scale

    def start(self) -> Tensor:
        """Soft choices that give the float weights."""
        low, high = STRETCH
        share = ((self._codes - self._low - low) / (high - low)).clamp(0.01, 0.99)
        return torch.logit(share)

    def between(self, up: Tensor) -> Tensor:
        """Weights that are ``up`` of the way from the floor to the ceiling, 0 to 1."""
        return (self._low + up * (self._high - self._low)) * self._scale


def _stretched(soft: Tensor) -> Tensor:
    low, high = STRETCH
    return (torch.sigmoid(soft) * (high - low) + low).clamp(0, 1)


def _divided(count: int) -> tuple[list[int], list[int]]:
    """Pictures to learn from and to judge by; the same where there are too few."""
    judging = list(range(EVERY - 1, count, EVERY))
    learned = [i for i in range(count) if i not in judging]
    return learned, judging or learned


def _shown(layer: SimulatedLayer, x: Tensor, weight: Tensor) -> Tensor:
    result = layer.apply(x, weight, layer.bias)
    return result.relu() if layer.rectified else result


def _target(layer: SimulatedLayer, x: Tensor) -> Tensor:
    result = layer.apply(x, layer.float_weight, layer.float_bias)
    return result.relu() if layer.rectified else result


def _error(layer: SimulatedLayer, weight: Tensor, pictures: list[int]) -> float:
    """Mean squared error of the layer's output over whole pictures."""
    with torch.no_grad():
        errors = [
            (_shown(layer, layer.found[i], weight) - _target(layer, layer.wanted[i])).square()
            for i in pictures
        ]
        return float(torch.stack([error.mean() for error in errors]).mean())


def _smallest(inputs: Sequence[Tensor]) -> tuple[int, int]:
    """Smallest height and width of NCHW tensors."""
    return min(x.shape[2] for x in inputs), min(x.shape[3] for x in inputs)
