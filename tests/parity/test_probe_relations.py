import numpy as np

from edgeexpo.parity.probe_relations import relations
from edgeexpo.parity.probes import EQUAL, MOVING, SWAPPED, bracket_probes, probes


def test_relations_are_reported_on_their_probes():
    pictures = {s.name: s.frames[0] for s in [*probes(1, 64), *bracket_probes(2, 64)]}
    found = relations(pictures, pictures, {EQUAL: pictures[EQUAL]})
    assert found == {
        MOVING: {"frame_order": 0.0, "asymmetry": 0.0},
        EQUAL: {"equal_frames": 0.0},
        "pan-2": {"flicker": 0.0},
    }
    broken = pictures | {SWAPPED: np.full_like(pictures[SWAPPED], np.nan)}
    assert MOVING not in relations(pictures, broken, {})
