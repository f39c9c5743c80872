"""Reconstruction: new weights for a pruned network, so that its layers give the old results.

The channels that stay can replace a part of what the removed channels did. Each layer's weights
become a least-squares solution: from the narrow network's input, give the whole network's result.
Source: Y. He et al., "Channel pruning for accelerating very deep neural networks", ICCV 2017.

Convolutions and linear layers are linear in their weights. Conjugate gradients therefore need only
a layer's forward pass and its gradient.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeexpo.pruning.narrowing import Kept

ITERATIONS = 40
"""Iterations of conjugate gradients at most. They end earlier by :data:`PATIENCE`."""

PATIENCE, ENOUGH = 5, 0.005
"""Patience: a layer is done after ``PATIENCE`` iterations that gain less than ``ENOUGH`` each.

A gain is a share of the smallest error so far.
"""

ASIDE = 4
"""Spacing of the pictures kept aside to judge the weights: every fourth picture is one."""

NetworkInputs = tuple[Tensor, ...]
"""Inputs of a network, NCHW each."""

Weights = list[Tensor]
"""Weights of a layer: its parameters in order."""


@dataclass(frozen=True)
class _Case:
    """One call of a layer: its input in the narrow network and its result in the whole network."""

    given: Tensor
    wanted: Tensor


def reconstruct(
    narrowed: nn.Module, whole: nn.Module, kept: Kept, pictures: Sequence[NetworkInputs]
) -> dict[str, float]:
    """Adapt the weights of ``narrowed`` in place, layer by layer from the input to the output.

    Every fourth picture, from the first, is kept aside. A layer keeps its old weights if the new
    ones are no better on the pictures kept aside.

    Args:
        narrowed: The narrow network, in eval mode.
        whole: The network that ``narrowed`` was made from, in eval mode.
        kept: Kept positions of the parameters of ``whole``
            (:class:`edgeexpo.pruning.prune.Pruned`).
        pictures: Inputs, NCHW each.

    Returns:
        Layer -> its squared error on the pictures kept aside, divided by its error before.
    """
    gains: dict[str, float] = {}
    named = whole.named_parameters(remove_duplicate=False)
    axes = {id(value): kept[name] for name, value in named if name in kept}
    done: set[int] = set()
    for name, times in _in_order(whole, pictures[0]).items():
        layer, original = narrowed.get_submodule(name), whole.get_submodule(name)
        weight = original.get_parameter("weight")
        if id(weight) in done:
            continue
        done.add(id(weight))
        cases = [
            [
                _Case(given, _stayed(wanted, original, axes.get(id(weight))))
                for (given, _), (_, wanted) in zip(
                    _calls(narrowed, layer, picture, times),
                    _calls(whole, original, picture, times),
                    strict=True,
                )
            ]
            for picture in pictures
        ]
        aside = [case for found in cases[::ASIDE] for case in found]
        learnt = [case for i, found in enumerate(cases) if i % ASIDE for case in found]
        gains[name] = _solve(layer, _together(learnt), _together(aside))
    return gains


def _together(cases: Sequence[_Case]) -> list[_Case]:
    """Join the cases of each input shape to one batch."""
    sizes: dict[torch.Size, list[_Case]] = {}
    for case in cases:
        sizes.setdefault(case.given.shape, []).append(case)
    return [
        _Case(torch.cat([c.given for c in alike]), torch.cat([c.wanted for c in alike]))
        for alike in sizes.values()
    ]


def _in_order(module: nn.Module, picture: NetworkInputs) -> Counter[str]:
    """Return layer -> number of its calls, in the order of the first calls.

    Only layers that are linear in their weights are counted.
    """
    called: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *_: called.append(name)

    handles = [
        layer.register_forward_hook(note(name))
        for name, layer in module.named_modules()
        if _is_linear_in_its_weights(layer)
    ]
    try:
        with torch.no_grad():
            module(*picture)
    finally:
        for handle in handles:
            handle.remove()
    return Counter(called)


def _is_linear_in_its_weights(layer: nn.Module) -> bool:
    """Return true for convolutions and linear layers that can be reconstructed.

    Layers whose weights are computed from other parameters cannot. Neither can grouped transposed
    convolutions, because the second axis of their weight does not count all output channels.
    """
    return (
        isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
        and {name for name, _ in layer.named_parameters()} <= {"weight", "bias"}
        and not (isinstance(layer, nn.ConvTranspose2d) and layer.groups > 1)
    )


def _stayed(result: Tensor, layer: nn.Module, axes: tuple[Tensor, ...] | None) -> Tensor:
    """Return the channels of the whole layer's result that the narrow layer still has."""
    if axes is None:
        return result
    places = axes[1 if isinstance(layer, nn.ConvTranspose2d) else 0]
    return result.index_select(-1 if isinstance(layer, nn.Linear) else 1, places)


class _SeenAll(Exception):  # noqa: N818 - no error
    """Raised to end a forward pass after the last call that is needed."""


def _calls(
    module: nn.Module, layer: nn.Module, picture: NetworkInputs, times: int
) -> list[tuple[Tensor, Tensor]]:
    """Return (input, result) of the first ``times`` calls of a layer.

    The network is not run any further.
    """
    found: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        found.append((given[0], result))
        if len(found) == times:
            raise _SeenAll

    handle = layer.register_forward_hook(keep)
    try:
        with torch.no_grad(), contextlib.suppress(_SeenAll):
            module(*picture)
    finally:
        handle.remove()
    return found


def _solve(layer: nn.Module, learnt: Sequence[_Case], aside: Sequence[_Case]) -> float:
    """Give ``layer`` the weights that are best on ``aside``, found by learning on ``learnt``.

    Returns:
        Squared error on ``aside``, divided by the error before.
    """
    names = [name for name, _ in layer.named_parameters()]
    start = [p.detach().clone() for p in layer.parameters()]

    def applied(weights: Weights, given: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(
            layer, dict(zip(names, weights, strict=True)), (given,)
        )
        return result

    def error(weights: Weights) -> float:
        return sum(float((applied(weights, c.given) - c.wanted).square().sum()) for c in aside)

    with torch.no_grad():
        before = least = error(start)
        best = start
        idle = 0
        for weights in _conjugate_gradients(applied, start, learnt):
            left = error(weights)
            idle = 0 if left < (1 - ENOUGH) * least else idle + 1
            if left < least:
                least, best = left, weights
            if idle == PATIENCE:
                break
        for parameter, value in zip(layer.parameters(), best, strict=True):
            parameter.copy_(value)
    return least / before if before else 1.0


def _conjugate_gradients(
    applied: Callable[[Weights, Tensor], Tensor], start: Weights, cases: Sequence[_Case]
) -> Iterator[Weights]:
    """Yield the iterates of CGLS from ``start`` on.

    Source: Å. Björck, "Numerical methods for least squares problems", 1996, algorithm 7.4.1.
    """
    nothing = [torch.zeros_like(w) for w in start]
    weights = [w.clone() for w in start]
    residuals = [c.wanted - applied(weights, c.given) for c in cases]
    offsets = [applied(nothing, c.given) for c in cases]

    def gradient() -> Weights:
        found = [torch.zeros_like(w) for w in start]
        with torch.enable_grad():
            for case, residual in zip(cases, residuals, strict=True):
                free = [w.clone().requires_grad_() for w in nothing]
                parts = torch.autograd.grad(applied(free, case.given), free, residual)
                found = [a + b for a, b in zip(found, parts, strict=True)]
        return found

    steepest = gradient()
    direction, slope = steepest, _squared(steepest)
    for _ in range(ITERATIONS):
        if slope == 0:
            return
        changes = [applied(direction, c.given) - o for c, o in zip(cases, offsets, strict=True)]
        length = slope / max(_squared(changes), 1e-30)
        weights = [w + length * d for w, d in zip(weights, direction, strict=True)]
        residuals = [r - length * c for r, c in zip(residuals, changes, strict=True)]
        yield weights
        steepest = gradient()
        slope, previous = _squared(steepest), slope
        direction = [s + slope / previous * d for s, d in zip(steepest, direction, strict=True)]


def _squared(tensors: Sequence[Tensor]) -> float:
    return sum(float(t.double().square().sum()) for t in tensors)
