"""Faults between pictures or parts of one: frame order, fusion invariants, seams, flicker.

Pictures are HxWxC float32, sRGB-encoded, [0,1]; a step is 1/255. The invariants of fusion are those
that the float network has: an artefact may not do worse.
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

Pictures = Mapping[str, np.ndarray]


def frame_order(reference: np.ndarray, swapped: np.ndarray, candidate: np.ndarray) -> float:
    """1 when the candidate is what the reference makes of the frames in the other order, else 0.

    Half as far from it, RMS, and by a step at least: networks that do not care are in order.
    """
    own, other = _rms(candidate - reference), _rms(candidate - swapped)
    return float(other < own / 2 and own - other > 1)


def asymmetry(pair: Sequence[np.ndarray], candidates: Sequence[np.ndarray]) -> float:
    """RMS change when the frames change places, beyond the float network's own, in 8-bit steps.

    Only for networks that do not care about the order (:data:`SYMMETRIC`); 0 for others.

    Args:
        pair: The reference for the frames and for the frames swapped.
        candidates: The candidate likewise.
    """
    own = _rms(pair[0] - pair[1])
    return max(0.0, _rms(candidates[0] - candidates[1]) - own) if own <= SYMMETRIC else 0.0


def equal_frames(frame: np.ndarray, reference: np.ndarray, candidate: np.ndarray) -> float:
    """RMS distance from the frame that is every frame, beyond the reference's, in 8-bit steps.

    Fusion weights that sum to one give that frame back.
    """
    return max(0.0, _rms(candidate - frame) - _rms(reference - frame))


def flicker(references: Sequence[np.ndarray], candidates: Sequence[np.ndarray], step: int) -> float:
    """Change of the error's mean in blocks of 16 pixels from picture to picture of a pan: RMS over
    the blocks, the largest of all changes, in 8-bit steps of luma.

    An error that stays with the scene is not seen as flicker, noise finer than the blocks neither.

    Args:
        references: What the reference makes of the pictures, each ``step`` pixels right of the one
            before.
        candidates: The same of the candidate.
        step: Pixels.
    """
    errors = [luma(c - r) for r, c in zip(references, candidates, strict=True)]
    changes = (b[:, :-step] - a[:, step:] for a, b in itertools.pairwise(errors))
    return max(_rms(_blocks(change)) for change in changes)


def seam(
    reference: np.ndarray, candidate: np.ndarray, rows: Sequence[int], columns: Sequence[int]
) -> float:
    """How much more the error jumps across tile borders than beside them, in 8-bit steps.

    RMS jump between neighbours at a border or a pixel off it, less that at the distances 3 to 6 on
    both sides, where the reference is smooth (neighbours within 3 steps), the worst border; 0
    unless it is twice that. Tiles with too small a halo, or a pixel off, meet in a line.

    Args:
        reference: The reference.
        candidate: The candidate.
        rows: First row after each border between tiles.
        columns: First column after each.
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
    """First rows and first columns of the tiles after the first, for pictures of a shape."""
    height, width = shape[:2]
    if spec.fixed_size is not None or spec.halo is None:
        return [], []
    tiles = plan_tiles(*padded_size(height, width, sizes), spec.halo, sizes)
    rows = sorted({t.rows.keep_start for t in tiles if 0 < t.rows.keep_start < height})
    columns = sorted({t.columns.keep_start for t in tiles if 0 < t.columns.keep_start < width})
    return rows, columns


def _blocks(picture: np.ndarray) -> np.ndarray:
    height, width = (side // BLOCK * BLOCK for side in picture.shape)
    if not height or not width:
        return picture
    cells = picture[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    result: np.ndarray = cells.mean(axis=(1, 3))
    return result


def _rms(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(difference), dtype=np.float64))) * CODE_STEPS
