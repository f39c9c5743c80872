"""Every fault is caught and named by its gate, and a clean artefact raises no alarm."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact, Manifest
from edgeexpo.imaging.samples import Sample, samples
from edgeexpo.parity.cases import PHOTOGRAPH, PROBE, RELATION, Case
from edgeexpo.parity.gates import default_gates
from edgeexpo.parity.probes import LARGER, SWAPPED, bracket_probes, probes, scene
from edgeexpo.parity.rounding import Rounding
from edgeexpo.runtime.engines.fake import FakeEngine
from edgeexpo.spec import ExportRecipe, Footprint, ModelSpec, SizeRange, TensorSpec
from edgeexpo.testing.faults.catalogue import FAULTS
from edgeexpo.testing.faults.judge import Remembering, judge, named

SIDE, NOISE = 96, 0.004
SHOWN = ("ramps", "saturated-primaries", "pan-0", "pan-1", "pan-2", "moving-bracket", SWAPPED)

SPEC = ModelSpec(
    "fusion",
    "mean of a darker and a brighter frame, sharpened",
    ("under", "over"),
    (TensorSpec("under"), TensorSpec("over")),
    (TensorSpec("fused"),),
    halo=1,
)


def network(inputs):
    """Return ``clip(0.2 under + 0.8 over + 0.3 (mean - blurred mean))``, zero-padded."""
    mixed = 0.2 * inputs["under"] + 0.8 * inputs["over"]
    padded = np.pad(mixed, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = mixed.shape[2:]
    blurred = sum(padded[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3))
    return {"fused": np.clip(mixed + 0.3 * (mixed - blurred / 9), 0, 1).astype(np.float32)}


def rounded(inputs):
    """Return the network's output with INT8's rounding noise, which depends on the input."""
    (fused,) = network(inputs).values()
    seed = abs(hash(fused.tobytes())) % 2**32
    noise = NOISE * np.random.default_rng(seed).standard_normal(fused.shape)
    return {"fused": np.clip(fused + noise, 0, 1).astype(np.float32)}


def case(kind: str, sample: Sample) -> Case:
    from edgeexpo.runtime.tiling import run_tiled

    inputs = dict(zip(("under", "over"), sample.frames, strict=True))
    sizes = SizeRange((999, 999), (16, 16))
    pair = [
        run_tiled(lambda x, f=f: f(x)["fused"], inputs, Footprint(1), sizes)
        for f in (network, rounded)
    ]
    return Case(sample.name, kind, inputs, *pair, sample)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    generated = [
        *probes(2, SIDE),
        *bracket_probes(2, SIDE),
        scene(LARGER, 2, (SIDE * 5 // 4 + 1, SIDE * 5 // 4 + 1)),
    ]
    chosen = [s for s in generated if s.name in (*SHOWN, LARGER)]
    photographs = samples(2, None, (SIDE, SIDE))[:2]
    return [case(PHOTOGRAPH, s) for s in photographs] + [
        case(RELATION if s.name == SWAPPED else PROBE, s) for s in chosen
    ]


@pytest.fixture(scope="module", params=["fp32", "int8"])
def judged(request, cases, tmp_path_factory):
    """Return a function from a fault to the gates that fail with it."""
    precision = request.param
    sizes = SizeRange((SIDE, SIDE), (16, 16))
    artifact = Artifact(f"net.{precision}.onnx", "onnx", precision, "0", 0, sizes)
    recipe = ExportRecipe("net", ("onnx",), (precision,), (SIDE, SIDE), "none", (), {})
    bundle = Bundle(tmp_path_factory.mktemp("b"), Manifest(SPEC, recipe, (artifact,), {}, {}))
    engine = Remembering(FakeEngine(network if precision == "fp32" else rounded))
    gates = default_gates(precision, residual=False)
    rounding = Rounding(cases)
    return functools.cache(
        lambda fault: judge(bundle, artifact, engine, cases, gates, rounding, fault)
    )


def test_what_is_clean_raises_no_alarm(judged):
    assert judged(None) == ()


def test_there_are_thirty_faults_with_names_of_their_own():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 30
    assert all(fault.concerns(SPEC) for fault in FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_is_caught(judged, fault):
    assert judged(fault)


def test_nine_in_ten_are_named(judged):
    missed = [f"{f.name}: {judged(f)[0]}" for f in FAULTS if not named(f, judged(f))]
    assert len(missed) <= len(FAULTS) // 10, "\n".join(missed)
