"""Metrics of probes that belong together: a bracket and its reverse, equal frames, a pan."""

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
    """Metrics of related probes, by the name of the probe that they are reported on.

    Args:
        references: What the reference makes of each probe, by name.
        candidates: The same of the candidate; probes that are not finite are left out.
        frames: The frame behind :data:`EQUAL`, by that name, where it can be compared.
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
