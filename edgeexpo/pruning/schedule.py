"""Choice of how many channels of every layer to remove for a share of the multiply-accumulates."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from edgeexpo.errors import UsageError
from edgeexpo.pruning.channels import Axis, Block, Channels

Scope = Literal["uniform", "global", "sensitivity"]
"""Scopes: the orders in which :func:`schedule` removes channels."""

OVERSHOOT = 0.05
"""Overshoot over the ratio asked for that is accepted if it changes the pictures less."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
"""All scopes, in order."""

Changes = Sequence[Mapping[int, float]]
"""Changes of the output, for every block: units that stay -> mean squared change of the output.

Only the one block is narrow in that measurement.
"""


def levels(block: Block, multiple: int) -> list[int]:
    """Return the numbers of units that may stay in a block, from all of them to the fewest.

    Except for the first, each gives a number of channels that is a multiple of ``multiple``.
    """
    step = multiple // math.gcd(multiple, block.share)
    return [block.units, *range((block.units - 1) // step * step, 0, -step)]


def cost(channels: Channels, counts: Sequence[int]) -> int:
    """Return the network's multiply-accumulates when ``counts[i]`` units of block ``i`` stay."""
    removed: dict[Axis, int] = {}
    for block, count in zip(channels.blocks, counts, strict=True):
        for axis, places in block.axes.items():
            removed[axis] = removed.get(axis, 0) + (block.units - count) * places.shape[1]
    return sum(
        places
        * math.prod(
            size - removed.get((name, axis), 0) for axis, size in enumerate(channels.shapes[name])
        )
        for name, places in channels.places.items()
    )


def schedule(
    channels: Channels,
    scores: Sequence[Tensor],
    ratio: float | None,
    scope: Scope,
    multiple: int,
    fixed: Mapping[int, int],
    changes: Changes | None = None,
) -> list[int]:
    """Return how many units of every block stay, so that at least ``ratio`` of the cost is gone.

    Every step removes ``multiple`` channels of one block. The scope gives the order of the steps:

    - ``"uniform"`` orders them by the share that the block has lost by then.
    - ``"global"`` orders them by the channels' importance, divided by the block's mean importance.
    - ``"sensitivity"`` orders them by the change of the output for each multiply-accumulate saved.

    Bisection finds the first step that is enough. With ``"sensitivity"`` that last step may be
    replaced by another block's next step. Earlier steps that are then not needed are undone, the
    latest first. Among the candidates within :data:`OVERSHOOT` above the ratio, the one that
    changes the output least is chosen. Without such a candidate, the nearest to the ratio is
    chosen.

    Args:
        channels: Channels of the network.
        scores: Importance of every block's units, one vector for each block.
        ratio: Share of the multiply-accumulates to remove. ``None`` applies only ``fixed``.
        scope: Order of the steps.
        multiple: Number of which the kept channels of a layer are a multiple.
        fixed: Block -> units that stay, for blocks that the caller has decided.
        changes: Measured changes of the output, for ``"sensitivity"`` only.

    Raises:
        UsageError: The ratio cannot be reached.
    """
    start = [fixed.get(i, block.units) for i, block in enumerate(channels.blocks)]
    if ratio is None:
        return start
    moves: list[tuple[float, float, int, int]] = []
    for index, block in enumerate(channels.blocks):
        if index not in fixed:
            stays = levels(block, multiple)
            if changes is None:
                moves += _moves(index, scores[index], stays, scope)
            else:
                moves += _measured_moves(index, channels, stays, changes[index])
    moves.sort()

    def after(count: int) -> list[int]:
        counts = list(start)
        for *_, index, stay in moves[:count]:
            counts[index] = stay
        return counts

    steps = range(len(moves) + 1)
    enough = bisect.bisect_left(steps, ratio, key=lambda count: _removed(channels, after(count)))
    if enough > len(moves):
        most = _removed(channels, after(len(moves)))
        raise UsageError(
            f"the ratio {ratio:g} would empty layers: with at least {multiple} channels in each, "
            f"{most:.3f} of the multiply-accumulates can go; ask for less"
        )
    if changes is None or enough == 0:
        return after(enough)
    nearly = after(enough - 1)
    possible: dict[int, int] = {}
    for *_, index, stay in moves[enough - 1 :]:
        possible.setdefault(index, stay)
    enders = (with_block(nearly, index, stay) for index, stay in possible.items())
    found = [
        _without_needless(channels, counts, moves[: enough - 1], multiple, ratio)
        for counts in enders
        if _removed(channels, counts) >= ratio
    ]

    def order(counts: list[int]) -> tuple[float, float]:
        change = sum(block[stay] for block, stay in zip(changes, counts, strict=True))
        return max(_removed(channels, counts) - ratio, OVERSHOOT), change

    return min(found, key=order)


def _without_needless(
    channels: Channels,
    counts: list[int],
    moves: Sequence[tuple[float, float, int, int]],
    multiple: int,
    ratio: float,
) -> list[int]:
    """Undo steps that ``ratio`` can be reached without, the latest first, and return the counts."""
    for *_, index, stay in reversed(moves):
        stays = levels(channels.blocks[index], multiple)
        wider = with_block(counts, index, stays[stays.index(stay) - 1])
        if counts[index] == stay and _removed(channels, wider) >= ratio:
            counts = wider
    return counts


def _removed(channels: Channels, counts: Sequence[int]) -> float:
    """Return the share of the multiply-accumulates that is removed."""
    return 1 - cost(channels, counts) / cost(channels, [block.units for block in channels.blocks])


def with_block(counts: Sequence[int], index: int, stay: int) -> list[int]:
    """Return ``counts`` with ``stay`` units in block ``index``."""
    return [*counts[:index], stay, *counts[index + 1 :]]


def _moves(
    index: int, scores: Tensor, stays: Sequence[int], scope: Scope
) -> list[tuple[float, float, int, int]]:
    """Return the steps of one block as (order, order among equals, block, units that stay)."""
    mean = float(scores.mean()) or 1.0
    ranked = scores.sort(descending=True).values / mean
    moves, latest = [], 0.0
    for before, stay in itertools.pairwise(stays):
        lost = 1 - (before + stay) / 2 / len(scores)
        latest = max(latest, float(ranked[stay:before].mean()))
        order = (lost, latest) if scope == "uniform" else (latest, lost)
        moves.append((*order, index, stay))
    return moves


def _measured_moves(
    index: int, channels: Channels, stays: Sequence[int], changes: Mapping[int, float]
) -> list[tuple[float, float, int, int]]:
    """Return steps as :func:`_moves` does, ordered by change for each multiply-accumulate saved."""
    units = [block.units for block in channels.blocks]

    def alone(stay: int) -> int:
        return cost(channels, with_block(units, index, stay))

    moves, latest = [], 0.0
    for before, stay in itertools.pairwise(stays):
        saved = max(alone(before) - alone(stay), 1)
        latest = max(latest, (changes[stay] - changes[before]) / saved)
        moves.append((latest, 1 - (before + stay) / 2 / units[index], index, stay))
    return moves


def positions(
    channels: Channels, scores: Sequence[Tensor], counts: Sequence[int]
) -> dict[str, tuple[Tensor, ...]]:
    """Return the positions that stay on each axis when the most important units stay.

    Args:
        channels: Channels of the network.
        scores: Importance of every block's units, one vector for each block.
        counts: Number of units that stay in every block.

    Returns:
        Parameter or buffer -> for each axis the ascending positions that stay. Parameters and
        buffers that keep their shape are left out.
    """
    removed: dict[Axis, list[int]] = {}
    for block, score, count in zip(channels.blocks, scores, counts, strict=True):
        worst = score.sort(descending=True, stable=True).indices[count:]
        for axis, places in block.axes.items():
            removed.setdefault(axis, []).extend(places[worst.numpy()].flatten().tolist())
    kept = {}
    for name in dict.fromkeys(name for (name, _), gone in removed.items() if gone):
        axes = []
        for number, size in enumerate(channels.shapes[name]):
            mask = torch.ones(size, dtype=torch.bool)
            mask[removed.get((name, number), [])] = False
            axes.append(mask.nonzero().flatten())
        kept[name] = tuple(axes)
    return kept
