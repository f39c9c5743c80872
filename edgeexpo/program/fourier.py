"""Fourier transforms of pairs of real tensors, as products with constant matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

from edgeexpo.program.complex_pairs import Pair, pair_of

_ATEN = torch.ops.aten

Waves = Callable[[str, int, str], Tensor]
"""Function that gives a matrix of a transform by kind, length and normalisation (:func:`waves`)."""


SMALLEST = 1e-9
"""Smallest entry of a matrix before its scale. A smaller one is zero in exact arithmetic."""


def waves(kind: str, length: int, norm: str) -> Tensor:
    """Return a constant matrix of Fourier transforms of one length.

    Args:
        kind: ``forward`` or ``inverse``, then ``cos`` or ``sin``, as in ``forward cos``. ``half``
            instead makes half of a spectrum, and ``real`` a real result from such a half.
        length: Number of samples.
        norm: ``backward``, ``ortho`` or ``forward``, as in :mod:`torch.fft`.
    """
    direction, wave = kind.split()
    places = torch.arange(length)
    # Whole numbers of turns are taken off before the product becomes a float.
    angles = (places[:, None] * places[None] % length).double() * (2 * torch.pi / length)
    matrix = torch.cos(angles) if wave == "cos" else torch.sin(angles)
    matrix[matrix.abs() < SMALLEST] = 0.0
    half = length // 2 + 1
    if direction == "real":
        matrix = matrix[:, :half].clone()
        matrix[:, 1 : (length + 1) // 2] *= 2
    elif direction == "half":
        matrix = matrix[:half]
    forward = direction in ("forward", "half")
    if forward and wave == "sin":
        matrix = -matrix
    scaled = norm == ("forward" if forward else "backward")
    factor = 1 / length if scaled else length**-0.5 if norm == "ortho" else 1.0
    return (matrix * factor + 0.0).float()  # without zeros of negative sign


def transform(target: Any, args: Sequence[Any], kwargs: Any, given: Waves) -> Any:
    """Compute one of torch's Fourier transforms, one axis after the other.

    Args:
        target: The operator, one of :data:`TRANSFORMS`.
        args: Its arguments, with pairs for complex tensors.
        kwargs: Its named arguments.
        given: Function that gives the constant matrices.

    Returns:
        A pair, or a real tensor.
    """
    kind = TRANSFORMS[target]
    name = target._schema.name.removeprefix("aten::fft_")
    names = ("n", "dim", "norm") if name[-1] not in "2n" else ("s", "dim", "norm")
    every = dict(zip(names, args[1:], strict=False)) | dict(kwargs)
    x = args[0]
    rank = (x.real if isinstance(x, Pair) else x).dim()
    lengths, axes = _axes(every.get(names[0]), every.get("dim"), name, rank)
    norm = every.get("norm") or "backward"
    steps = list(zip(axes, lengths, strict=True))
    if kind == "half":
        x = _along(x, *steps.pop(), norm, "half", given)
    last = steps.pop() if kind == "real" else None
    for axis, length in steps:
        x = _along(x, axis, length, norm, "inverse" if kind in _INVERSE else "forward", given)
    return x if last is None else _real(pair_of(x), *last, norm, given)


def _real(x: Pair, axis: int, length: Any, norm: str, given: Waves) -> Tensor:
    """Return the real result of a transform of the half of a spectrum."""
    length = 2 * (x.real.shape[axis] - 1) if length in (None, -1) else length
    real, imag = (_resized(part, axis, length // 2 + 1) for part in (x.real, x.imag))
    return _applied(real, axis, given("real cos", length, norm)) - _applied(
        imag, axis, given("real sin", length, norm)
    )


def _axes(lengths: Any, axes: Any, name: str, rank: int) -> tuple[list[Any], list[int]]:
    """Return the lengths, ``None`` for the present one, and the axes of a transform."""
    if name[-1] not in "2n":
        return [lengths], [(-1 if axes is None else axes) % rank]
    if axes is None:
        number = 2 if name[-1] == "2" else rank if lengths is None else len(lengths)
        axes = list(range(-number, 0))
    axes = [axis % rank for axis in axes]
    return [None] * len(axes) if lengths is None else list(lengths), axes


def _along(
    x: Pair | Tensor, axis: int, length: Any, norm: str, direction: str, given: Waves
) -> Pair:
    """Transform one axis of a pair or of a real tensor."""
    real = x.real if isinstance(x, Pair) else x
    length = real.shape[axis] if length in (None, -1) else length
    cosines, sines = (given(f"{direction} {wave}", length, norm) for wave in ("cos", "sin"))
    real = _resized(real, axis, length)
    if not isinstance(x, Pair):
        return Pair(_applied(real, axis, cosines), _applied(real, axis, sines))
    imag = _resized(x.imag, axis, length)
    return Pair(
        _applied(real, axis, cosines) - _applied(imag, axis, sines),
        _applied(imag, axis, cosines) + _applied(real, axis, sines),
    )


def _resized(x: Tensor, axis: int, length: int) -> Tensor:
    """Cut an axis at its end, or fill it up with zeros."""
    more = length - x.shape[axis]
    if more < 0:
        return x.narrow(axis, 0, length)
    return pad(x, [0] * 2 * (x.dim() - 1 - axis) + [0, more]) if more else x


def _applied(x: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """Multiply an axis of ``x`` by a matrix of outputs x inputs."""
    if axis == x.dim() - 1:
        return linear(x, matrix)
    return linear(x.transpose(axis, -1), matrix).transpose(axis, -1)


_INVERSE = ("inverse", "real")

TRANSFORMS: MappingProxyType[Any, str] = MappingProxyType(
    {
        getattr(_ATEN, f"fft_{prefix}{suffix}").default: kind
        for prefix, kind in {
            "fft": "forward",
            "ifft": "inverse",
            "rfft": "half",
            "irfft": "real",
        }.items()
        for suffix in ("", "2", "n")
    }
)
"""Operator -> what it does: a whole spectrum, its inverse, half a spectrum, or its real inverse."""
