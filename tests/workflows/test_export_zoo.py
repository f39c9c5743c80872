"""Export of every network that ships: all targets are verified in fp32 and INT8."""

from __future__ import annotations

import pytest

from edgeexpo.inspection.census import take_census
from edgeexpo.models import zoo
from edgeexpo.program.exact_tail import is_weighted
from edgeexpo.quantization.ptq import separate
from edgeexpo.quantization.quantizer import left_in_float
from edgeexpo.workflows.export import export_bundle
from edgeexpo.workflows.networks import open_network

SIZE = (128, 128)
SHIPPED = sorted(zoo.shipped())


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request, tmp_path_factory):
    """Return a preset and its bundle with every target in fp32 and INT8.

    The size is 128x128. Networks that read a thumbnail have their default size.
    """
    scaled = zoo.get(request.param).spec.fixed_size is not None
    bundle = export_bundle(
        request.param,
        targets=("all",),
        precision=("fp32", "int8"),
        size=None if scaled else SIZE,
        output=tmp_path_factory.mktemp("dist") / "bundle",
    )
    return request.param, bundle


@pytest.mark.slow
def test_a_shipped_network_deploys_to_every_target(shipped):
    _, bundle = shipped
    found = {a.file: (a.status, a.error) for a in bundle.manifest.artifacts}
    assert len(found) == 6
    assert found == dict.fromkeys(found, ("verified", None))


@pytest.mark.slow
def test_only_what_a_rule_names_runs_in_float(shipped):
    """Count convolutions and matrix products in each engine's own graph of an INT8 artefact."""
    preset, bundle = shipped
    module = separate(open_network(preset, SIZE, None, ()).capture()).exported.module()
    named = sum(is_weighted(node) for node in left_in_float(module))
    every = sum(is_weighted(node) for node in module.graph.nodes)
    for artifact in bundle.manifest.artifacts:
        if artifact.precision == "int8":
            census = take_census(artifact.target, bundle.path / artifact.file)
            assert census.float_weighted == named, (artifact.file, census)
            assert census.integer_weighted >= every - named, (artifact.file, census)


def test_something_ships():
    assert {"lrl-8", "lrl-mobile"} <= set(SHIPPED)
