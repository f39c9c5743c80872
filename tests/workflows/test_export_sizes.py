from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from edgeexpo.bundle.manifest import Artifact
from edgeexpo.spec import ModelSpec, SizeRange, TensorSpec
from edgeexpo.workflows.export_sizes import on_grid

SPEC = ModelSpec("net", "t", ("x",), (TensorSpec("x"),), (TensorSpec("y"),), halo=4, grid=4)
RANGE = SizeRange((66, 64), (18, 16))


def manifest_of(*sizes: SizeRange, spec: ModelSpec = SPEC):
    artifacts = tuple(
        Artifact(f"{index}.onnx", "onnx", "fp32", "0" * 64, 1, each)
        for index, each in enumerate(sizes)
    )
    return Manifests(spec, artifacts)


@dataclasses.dataclass(frozen=True)
class Manifests:
    model: ModelSpec
    artifacts: tuple[Artifact, ...]


def report_of(*statuses: str):
    rows = [SimpleNamespace(file=f"{i}.onnx", status=s) for i, s in enumerate(statuses)]
    return SimpleNamespace(artifacts=rows)


def test_an_artefact_that_failed_keeps_the_sizes_on_the_grid():
    bound = on_grid(manifest_of(RANGE, RANGE), report_of("failed", "verified"))
    assert bound is not None
    assert bound.artifacts[0].sizes == SizeRange((64, 64), (20, 16), 4)
    assert bound.artifacts[1].sizes == RANGE


@pytest.mark.parametrize(
    ("sizes", "status", "spec"),
    [
        (RANGE, "verified", SPEC),
        (RANGE, "failed", dataclasses.replace(SPEC, grid=1)),
        (SizeRange((64, 64), (16, 16), 4), "failed", SPEC),
        (SizeRange((64, 64), (64, 64)), "failed", SPEC),
        (SizeRange((64, 64), (32, 32), enumerated=((32, 32), (64, 64))), "failed", SPEC),
        (SizeRange((19, 64), (17, 16)), "failed", SPEC),
    ],
)
def test_nothing_changes_where_the_grid_is_not_the_reason(sizes, status, spec):
    assert on_grid(manifest_of(sizes, spec=spec), report_of(status)) is None
