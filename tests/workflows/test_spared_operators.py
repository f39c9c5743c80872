"""Calibrated INT8 that fails its gates leaves the costliest operators in float, and says so."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeexpo.progress import kept_notes
from edgeexpo.workflows.export import export_bundle

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("small_probes")]


class Enlarged(nn.Module):
    """A network whose first layer is normalised, so that its rounding in flat areas is seen."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.InstanceNorm2d(8)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x):
        return torch.clamp(x + 0.3 * self.last(self.norm(self.first(x))), 0, 1)


def exported(folder, **options):
    torch.manual_seed(0)
    with kept_notes() as notes:
        bundle = export_bundle(
            Enlarged().eval(),
            inputs={"x": (1, 3, 32, 32)},
            targets="onnx",
            output=folder / "bundle",
            **options,
        )
    return bundle.manifest, " ".join(notes)


def test_the_layer_before_the_normalisation_stays_in_float(tmp_path):
    manifest, notes = exported(tmp_path)
    assert manifest.status == "verified"
    assert manifest.recipe.keep_float == ("conv2d",)
    assert "INT8 passes its gates with conv2d at " in notes
    assert "in float (50% of the multiplications)" in notes


@pytest.mark.slow
def test_a_user_who_asks_for_none_gets_the_failure(tmp_path):
    manifest, notes = exported(tmp_path, keep_float=())
    assert manifest.status == "failed"
    assert manifest.recipe.keep_float == ()
    assert "in float" not in notes


@pytest.mark.slow
def test_what_no_layer_can_reach_leaves_none_in_float(tmp_path):
    manifest, notes = exported(tmp_path, gates="psnr>=99")
    assert manifest.status == "failed"
    assert manifest.recipe.keep_float == ()
    assert "in float" not in notes
