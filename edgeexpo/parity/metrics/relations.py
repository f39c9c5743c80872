"""Faults between pictures or parts of one: frame order, fusion invariants, seams, flicker.

Pictures are HxWxC float32, sRGB-encoded, [0,1]; a step is 1/255. The float network's own deviation
from an invariant of fusion is the allowance: an artefact may not deviate more.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from edgeexpo.parity.metrics.tones import CODE_STEPS, SMOOTH, luma
from edgeexpo.runtime.tiling import padded_size, plan_tiles
from edgeexpo.spec import ModelSpec, SizeRange

SYMMETRIC = 0.5
"""RMS change in steps below which a network counts as indifferent to the order of its frames."""

BLOCK = 16
"""Side in pixels of the blocks whose brightness :func:`flicker` follows."""

_NEIGHBOURS, _CALM_SHARE = 6, 0.1
"""Largest distance from a tile border, in pixels, at which :func:`seam` measures jumps.

``_CALM_SHARE`` is the smallest share of smooth pixels for which a jump counts.
"""

Pictures = Mapping[str, np.ndarray]
"""Pictures by name."""


def frame_order(reference: np.ndarray, swapped: np.ndarray, candidate: np.ndarray) -> float:
    """Return 1 when the candidate is the reference's result for swapped frames, otherwise 0.

    Its RMS distance has to be half as large as to the reference, and smaller by a step. Networks
    that are indifferent to the order are therefore in order.

    Args:
        reference: The reference's result.
        swapped: The reference's result for the frames in the other order.
        candidate: The candidate's result.
    """
    own, other = _rms(candidate - reference), _rms(candidate - swapped)
    return float(other < own / 2 and own - other > 1)


def asymmetry(pair: Sequence[np.ndarray], candidates: Sequence[np.ndarray]) -> float:
    """Return the RMS change when frames are swapped, beyond the float network's, in 8-bit steps.

    It applies only to networks that are indifferent to the order (:data:`SYMMETRIC`); it is 0 for
    others.

    Args:
        pair: The reference's results for the frames and for the swapped frames.
        candidates: The candidate's results for the frames and for the swapped frames.
    """
    own = _rms(pair[0] - pair[1])
    return max(0.0, _rms(candidates[0] - candidates[1]) - own) if own <= SYMMETRIC else 0.0


def equal_frames(frame: np.ndarray, reference: np.ndarray, candidate: np.ndarray) -> float:
    """Return the RMS distance from the frame that is every frame, in 8-bit steps.

    The reference's own distance is subtracted. Fusion weights that sum to one return that frame.
    """
    return max(0.0, _rms(candidate - frame) - _rms(reference - frame))


def flicker(references: Sequence[np.ndarray], candidates: Sequence[np.ndarray], step: int) -> float:
    """Return the largest change of the error from picture to picture of a pan, in 8-bit steps.

    The change is the RMS over blocks of 16 pixels of the change of the error's mean luma. An error
    that moves with the scene does not flicker, and noise finer than the blocks does not either.

    Args:
        references: The reference's results for the pictures, each ``step`` pixels to the right of
            the one before.
        candidates: The candidate's results for the same pictures.
        step: Distance of two pictures in pixels.
    """
    errors = [luma(c - r) for r, c in zip(references, candidates, strict=True)]
    changes = (b[:, :-step] - a[:, step:] for a, b in itertools.pairwise(errors))
    return max(_rms(_blocks(change)) for change in changes)


def seam(
    reference: np.ndarray, candidate: np.ndarray, rows: Sequence[int], columns: Sequence[int]
) -> float:
    """Return how much more the error jumps across tile borders than beside them, in 8-bit steps.

    A jump is the RMS difference of neighbouring errors where the reference is smooth (neighbours
    within 3 steps). The jump at a border, or a pixel beside it, is compared with the jumps at
    distances 3 to 6 on both sides. The worst border counts, and only if its jump is twice as large.
    Tiles with too small a halo, or a pixel off, meet in a visible line.

    Args:
        reference: The reference.
        candidate: The candidate.
        rows: First row after each border between tiles.
        columns: First column after each border between tiles.
    """
    error = candidate - reference
    found = [0.0]
    for cuts, axis in ((rows, 0), (columns, 1)):
        square, calm = (
            np.moveaxis(change(np.diff(picture, axis=axis)), axis, 0)
            for picture, change in ((error, np.square), (reference, _calm))
        )
        weight = np.maximum(calm.sum(axis=(1, 2)), 1)
        jumps = np.sqrt((square * calm).sum(axis=(1, 2), dtype=np.float64) / weight)
        jumps[calm.mean(axis=(1, 2)) < _CALM_SHARE] = 0
        for cut in cuts:
            beside = [
                float(jumps[cut - 1 + offset])
                for distance in range(3, _NEIGHBOURS + 1)
                for offset in (-distance, distance)
                if 0 <= cut - 1 + offset < len(jumps)
            ]
            jump = float(jumps[max(0, cut - 2) : cut + 1].max())
            if beside and jump > 2 * max(beside):
                found.append(jump - max(beside))
    return max(found) * CODE_STEPS


def _calm(jump: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(jump) <= SMOOTH)


def tile_borders(
    shape: tuple[int, ...], spec: ModelSpec, sizes: SizeRange
) -> tuple[list[int], list[int]]:
    """Return the first rows and first columns of the tiles after the first, for an output's shape.

    The tiles are those of the picture that the output was made of, in the output's pixels. Both are
    empty for a network that runs without tiles.
    """
    scale = spec.footprint.scale
    height, width = (int(side / scale) for side in shape[:2])
    if spec.fixed_size is not None or spec.halo is None:
        return [], []
    tiles = plan_tiles(*padded_size(height, width, spec.footprint, sizes), spec.footprint, sizes)
    rows = sorted({t.rows.keep_start for t in tiles if 0 < t.rows.keep_start < height})
    columns = sorted({t.columns.keep_start for t in tiles if 0 < t.columns.keep_start < width})
    return [int(row * scale) for row in rows], [int(column * scale) for column in columns]


def _blocks(picture: np.ndarray) -> np.ndarray:
    height, width = (side // BLOCK * BLOCK for side in picture.shape)
    if not height or not width:
        return picture
    cells = picture[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    result: np.ndarray = cells.mean(axis=(1, 3))
    return result


def _rms(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(difference), dtype=np.float64))) * CODE_STEPS
