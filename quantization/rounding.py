"""Adaptive rounding (AdaRound): each weight is rounded up or down to suit its layer's output.

Source: M. Nagel et al., "Up or down? Adaptive rounding for post-training quantization", ICML 2020.
A layer learns a soft choice between the floor and the ceiling of each weight's code. The loss is
the error of the layer's output, plus a penalty that drives every choice to 0 or 1. As in the paper,
the input comes from the rounded network and the target from the float network. A ReLU after the
layer is included in the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgeexpo.quantization.layerwise import SimulatedLayer
from edgeexpo.quantization.simulation import weight_codes

STRETCH = (-0.1, 1.1)
"""Stretch of the sigmoid: its ends (gamma and zeta of the paper), so that 0 and 1 are reached."""

ROUNDING_CROP = 24
"""Largest side of a crop, in pixels."""

MACS = 1e8
"""Multiply-accumulates of one iteration at most. They bound the pixels and therefore the time."""

ROUNDING_PIXELS = (64, 4096)
"""Pixels of one iteration: (fewest, most)."""

EVERY = 4
"""Spacing of the pictures that judge the result: every fourth one. No layer learns from them."""


@dataclass(frozen=True)
class Schedule:
    """The schedule by which a layer's rounding is learned.

    Attributes:
        iterations: Number of iterations of Adam.
        rate: Learning rate of the choices.
        penalty: Weight of the penalty that drives choices to 0 or 1, in units of the error of
            rounding to nearest.
        exponents: First and last exponent of that penalty: flat at first, then steep.
        free: Share of the iterations before the penalty begins.
    """

    iterations: int = 300
    rate: float = 0.02
    penalty: float = 1.0
    exponents: tuple[float, float] = (20.0, 2.0)
    free: float = 0.2


class AdaptiveRounding:
    """A step of :func:`edgeexpo.quantization.layerwise.adapt` that chooses a layer's codes.

    The weight becomes ``scale * code`` with its old scale. ``code`` is the floor or the ceiling of
    ``weight / scale``, within -127 to 127. The largest weight of every channel gets its nearest
    code. The scale is computed from that weight and therefore stays the same.

    A layer gets the nearest codes unless the learned codes are better on the judging pictures,
    which are not used for learning.

    Args:
        seed: Seed of the crops, the only random part.
        schedule: The learning schedule, or ``None`` for the default one.
    """

    def __init__(self, seed: int = 0, schedule: Schedule | None = None) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._schedule = schedule or Schedule()

    def __call__(self, layer: SimulatedLayer) -> None:
        """Set the weight of ``layer`` to the chosen codes. A layer in float is unchanged."""
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
        """Return crops of the simulated network's input, and the float layer's outputs for them.

        Both inputs are cropped at the same places. The float layer reads the float network's input.
        """
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
    """The choice between floor and ceiling for every code of a layer's weight."""

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
        """Return the soft choices that give the float weights."""
        low, high = STRETCH
        share = ((self._codes - self._low - low) / (high - low)).clamp(0.01, 0.99)
        return torch.logit(share)

    def between(self, up: Tensor) -> Tensor:
        """Return the weights at the share ``up`` (0 to 1) of the way from floor to ceiling."""
        return (self._low + up * (self._high - self._low)) * self._scale


def _stretched(soft: Tensor) -> Tensor:
    low, high = STRETCH
    return (torch.sigmoid(soft) * (high - low) + low).clamp(0, 1)


def _divided(count: int) -> tuple[list[int], list[int]]:
    """Return the indices of pictures to learn from and of pictures to judge by.

    With fewer than :data:`EVERY` pictures, both are all pictures.
    """
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
    """Return the mean squared error of the layer's output over whole pictures."""
    with torch.no_grad():
        errors = [
            (_shown(layer, layer.found[i], weight) - _target(layer, layer.wanted[i])).square()
            for i in pictures
        ]
        return float(torch.stack([error.mean() for error in errors]).mean())


def _smallest(inputs: Sequence[Tensor]) -> tuple[int, int]:
    """Return the smallest height and the smallest width of NCHW tensors."""
    return min(x.shape[2] for x in inputs), min(x.shape[3] for x in inputs)
