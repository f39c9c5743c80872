"""Metrics of related probes: a bracket and its reverse, equal frames, a pan."""

from __future__ import annotations

import numpy as np

from edgeexpo.parity.metrics.relations import (
    Pictures,
    asymmetry,
    equal_frames,
    flicker,
    frame_order,
)
from edgeexpo.parity.probes import EQUAL, MOVING, PAN, PAN_FRAMES, PAN_STEP, SWAPPED


def relations(
    references: Pictures, candidates: Pictures, frames: Pictures
) -> dict[str, dict[str, float]]:
    """Return the metrics of related probes, by the name of the probe on which they are reported.

    Args:
        references: The reference's output for each probe, HxWxC float32, by name.
        candidates: The candidate's output for each probe; outputs that are not finite are ignored.
        frames: The frame behind :data:`EQUAL`, by that name, if it can be compared with the output.
    """
    known = {name for name in candidates if np.isfinite(candidates[name]).all()}
    found: dict[str, dict[str, float]] = {}
    if {MOVING, SWAPPED} <= known:
        pair = [references[MOVING], references[SWAPPED]]
        found[MOVING] = {
            "frame_order": frame_order(pair[0], pair[1], candidates[MOVING]),
            "asymmetry": asymmetry(pair, [candidates[MOVING], candidates[SWAPPED]]),
        }
    if EQUAL in known and EQUAL in frames:
        found[EQUAL] = {
            "equal_frames": equal_frames(frames[EQUAL], references[EQUAL], candidates[EQUAL])
        }
    pan = [f"{PAN}-{i}" for i in range(PAN_FRAMES)]
    if known.issuperset(pan):
        panned = [[pictures[name] for name in pan] for pictures in (references, candidates)]
        found[pan[-1]] = {"flicker": flicker(panned[0], panned[1], PAN_STEP)}
    return found
