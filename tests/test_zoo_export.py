"""Every network that ships deploys: all targets, fp32 and INT8, verified."""

from __future__ import annotations

import pytest

from edgeexpo.models import zoo
from edgeexpo.pipeline import export_bundle

SHIPPED = sorted(path.stem for path in zoo.WEIGHTS.glob("*.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("preset", SHIPPED)
def test_a_shipped_network_deploys_to_every_target(preset, tmp_path):
    bundle = export_bundle(
        preset,
        targets=("all",),
        precision=("fp32", "int8"),
        size=(128, 128),
        output=tmp_path / "bundle",
    )
    found = {a.file: (a.status, a.error) for a in bundle.manifest.artifacts}
    assert found == dict.fromkeys(found, ("verified", None))
    assert len(found) == 6


def test_something_ships():
    assert {"lrl-8", "lrl-mobile"} <= set(SHIPPED)
