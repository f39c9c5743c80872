"""Tests that pruned checkpoints of every system load, deploy and are captured like others."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from edgeexpo.errors import WeightsError
from edgeexpo.models import zoo
from edgeexpo.models.deployable import deployable
from edgeexpo.models.pruned_weights import fit_widths, load_checkpoint, read_metadata, save_pruned
from edgeexpo.models.weights import read_weights
from edgeexpo.program.capture import capture
from edgeexpo.pruning.prune import prune_module

FAST = ("lrl-mobile", "exponet-mobile", "kdfusion-teacher-mobile")
HEAVY = (
    "lrl-8",
    "lrl-23",
    "twophase-mobile",
    "twophase-unet-mobile",
    "exponet-double-mobile",
    "expandnet-full",
    "expandnet-mobile",
    "expandnet-noglobal-mobile",
    "kdfusion-mobile",
    "kdfusion-dense-mobile",
    "kdfusion-baseline-mobile",
)


def pictures(spec, side):
    torch.manual_seed(side)
    return tuple(torch.rand(1, s.channels, *(s.size or (side, side))) for s in spec.inputs)


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(n, marks=pytest.mark.slow) for n in HEAVY)])
def test_every_system_is_pruned_saved_loaded_and_captured(name, tmp_path):
    entry = zoo.get(name)
    network = entry.build().eval()
    if entry.weights:
        network.load_state_dict(read_weights(entry.weights))
    pruned = prune_module(network, pictures(entry.spec, 64), ratio=0.5)
    assert 0.5 <= pruned.ratio < 0.6
    assert pruned.parameters_after < 0.6 * pruned.parameters_before
    path = tmp_path / "pruned.safetensors"
    save_pruned(pruned.module, path, name, pruned.ratio)
    assert float(read_metadata(path)["pruned"]) == pytest.approx(pruned.ratio, abs=1e-3)

    loaded = entry.build().eval()
    load_checkpoint(loaded, path, name)
    module = deployable(loaded)
    side = max(64, entry.spec.multiple)
    program = capture(
        module, entry.spec.inputs, entry.spec.outputs, (2 * side, 2 * side), entry.spec.multiple
    ).exported.module()
    for size in (side, 2 * side):
        inputs = pictures(entry.spec, size)
        with torch.no_grad():
            expected = pruned.module(*inputs)
            torch.testing.assert_close(loaded(*inputs), expected, atol=0, rtol=0)
            torch.testing.assert_close(module(*inputs), expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(program(*inputs), expected, atol=2e-5, rtol=0)


@pytest.fixture
def narrow_state():
    """Return the weights of a pruned lrl-mobile."""
    entry = zoo.get("lrl-mobile")
    return prune_module(entry.build(), pictures(entry.spec, 32), ratio=0.5).module.state_dict()


def test_wrong_checkpoints_are_refused_as_before(narrow_state, tmp_path):
    entry = zoo.get("lrl-mobile")
    path = tmp_path / "w.safetensors"
    save_file(narrow_state, path)  # narrower, but without the metadata of a pruned checkpoint
    with pytest.raises(WeightsError, match="is 16, the network expects 24"):
        load_checkpoint(entry.build(), path)
    save_file(narrow_state, path, {"preset": "lrl-mobile", "pruned": "0.5"})
    with pytest.raises(WeightsError, match="is a pruned lrl-mobile; expected weights of lrl-8"):
        load_checkpoint(zoo.get("lrl-8").build(), path, "lrl-8")
    with pytest.raises(WeightsError, match=r"4 missing \(body.12"):
        load_checkpoint(zoo.get("lrl-8").build(), path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("body.0.weight", torch.zeros(32, 3, 3, 3)),
        ("body.0.weight", torch.zeros(16, 3, 1, 1)),
        ("body.0.weight", torch.zeros(0, 3, 3, 3)),
        ("body.0.bias", torch.tensor(0.0)),
    ],
)
def test_what_is_no_narrowing_changes_nothing(narrow_state, name, value):
    network = zoo.get("lrl-mobile").build()
    fit_widths(network, {**narrow_state, name: value})
    assert network.body[0].out_channels == 24
    assert network.body[0].weight.shape == (24, 3, 3, 3)
