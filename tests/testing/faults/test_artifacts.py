"""Every fault is caught in artefacts of every target, as they run in their engines."""

from __future__ import annotations

import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.imaging.samples import samples
from edgeexpo.parity.cases import accepted, program_cases
from edgeexpo.parity.gates import default_gates
from edgeexpo.parity.rounding import Rounding
from edgeexpo.runtime.engines.base import open_for_verification
from edgeexpo.targets import usual_targets
from edgeexpo.testing.faults.catalogue import FAULTS
from edgeexpo.testing.faults.judge import Remembering, judge

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("target", usual_targets())
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_fault_is_caught_and_nothing_else(exported, target, precision):
    bundle = Bundle.open(exported)
    spec, artifact = bundle.manifest.model, bundle.select(target, precision)
    photographs = samples(1, None, bundle.manifest.recipe.size)[:2]
    found, _ = program_cases(bundle, "cpu", None, photographs, integer=True)
    cases = accepted(artifact, bundle.manifest.model, found)
    engine = open_for_verification(target, bundle.file(artifact.file), spec)
    remembering = Remembering(engine)
    gates = default_gates(precision, residual=True)
    rounding = Rounding(cases, bundle)
    assert judge(bundle, artifact, remembering, cases, gates, rounding) == ()
    # Tiles of one size, such as Core ML's, overlap by more than a halo. A missing halo changes
    # nothing there.
    overlapping = bool(artifact.sizes.enumerated)
    faults = [f for f in FAULTS if f.concerns(spec) and not (overlapping and f.halo is not None)]
    failed = {f: judge(bundle, artifact, remembering, cases, gates, rounding, f) for f in faults}
    engine.close()
    assert [f.name for f in faults if not failed[f]] == []
