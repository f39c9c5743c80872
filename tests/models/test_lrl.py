import pytest
import torch

from edgeexpo.errors import UsageError
from edgeexpo.models import lrl, zoo
from edgeexpo.models.full_size import with_form
from edgeexpo.spec import from_json, to_json

PARAMETERS = {"lrl-3": 40_451, "lrl-8": 225_091, "lrl-8-w32": 57_251, "lrl-mobile": 22_155}


def trained(preset: str) -> lrl.LRLNet:
    """Build a preset with random weights in the last layer too, so that it changes its input."""
    torch.manual_seed(0)
    network = lrl.build(preset).eval()
    torch.nn.init.normal_(network.body[-1].weight, std=0.02)
    return network


@pytest.mark.parametrize("preset", lrl.PRESETS)
def test_untrained_network_is_the_identity(preset):
    y0 = torch.rand(1, 3, 17, 19)
    network = lrl.build(preset).eval()
    assert torch.equal(network(y0), y0)
    assert network.correction(y0).abs().max() == 0


@pytest.mark.parametrize(("preset", "expected"), PARAMETERS.items())
def test_sizes_are_the_documented_ones(preset, expected):
    assert sum(p.numel() for p in lrl.build(preset).parameters()) == expected


def test_lrl_23_is_the_sister_papers_network():
    network = lrl.build("lrl-23")
    convolutions = [m for m in network.body if isinstance(m, torch.nn.Conv2d)]
    normalised = [m for m in network.body if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(convolutions) == 23
    assert len(normalised) == 21
    assert {m.eps for m in normalised} == {1e-3}


def test_output_is_clipped_in_eval_mode_only():
    network = lrl.build("lrl-3")
    torch.nn.init.constant_(network.body[-1].bias, 2.0)
    y0 = torch.rand(1, 3, 8, 8)
    assert network.train()(y0).max() > 1
    assert network.eval()(y0).max() == 1


@pytest.mark.parametrize("preset", ["lrl-3", "lrl-8-w32", "lrl-mobile"])
def test_halo_is_the_receptive_field(preset):
    halo = lrl.spec(preset).halo
    network = trained(preset)
    y0 = torch.full((1, 3, 41, 41), 0.5, requires_grad=True)
    network.correction(y0)[0, :, 20, 20].sum().backward()
    rows = y0.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert rows.min() >= 20 - halo
    assert rows.max() <= 20 + halo
    assert rows.max() - rows.min() >= 2 * halo - 2


def test_prelu_is_an_option():
    network = lrl.LRLNet(width=8, depth=4, activation="prelu")
    slopes = [m.weight for m in network.body if isinstance(m, torch.nn.PReLU)]
    assert [len(s) for s in slopes] == [8, 8, 8]
    assert all(torch.all(s == 0.1) for s in slopes)


def test_spec_says_what_the_artefact_is():
    spec = lrl.spec("lrl-8")
    assert spec == lrl.spec("lrl")
    assert (spec.name, spec.frames, spec.residual) == ("lrl", ("under", "over"), "y0")
    assert [t.name for t in (*spec.inputs, *spec.outputs)] == ["y0", "y_hat"]
    assert (spec.halo, spec.multiple) == (8, 1)
    assert (spec.front.kind, spec.back.kind) == ("intermediate", "rendered-fusion")
    assert lrl.spec("lrl-mobile").name == "lrl-mobile"
    assert from_json(type(spec), to_json(spec)) == spec


def test_stage_parameters_are_arguments_of_the_stages():
    import inspect

    from edgeexpo.imaging.fusion import Measures
    from edgeexpo.imaging.interpolation import intermediate

    spec = lrl.spec("lrl-8")
    for stage, function in ((spec.front, intermediate), (with_form(spec, "fusion").back, Measures)):
        defaults = {
            name: parameter.default
            for name, parameter in inspect.signature(function).parameters.items()
        }
        for name, value in stage.parameters.items():
            assert value == {"levels": 255, "floor": 1e-5}.get(name, defaults[name])


@pytest.mark.parametrize("preset", ["lrl-8", "lrl-mobile"])
def test_shipped_weights_fit_and_correct_something(preset):
    from safetensors.torch import load_file

    entry = zoo.get(preset)
    assert entry.weights is not None
    network = lrl.build(preset).eval()
    network.load_state_dict(load_file(entry.weights))
    torch.manual_seed(0)
    noisy = (torch.full((1, 3, 64, 64), 0.4) + 0.02 * torch.randn(1, 3, 64, 64)).clamp(0, 1)
    with torch.inference_mode():
        repaired = network(noisy)
    assert (repaired - 0.4).square().mean() < 0.7 * (noisy - 0.4).square().mean()


@pytest.mark.parametrize(
    "call",
    [
        lambda: lrl.build("lrl-9"),
        lambda: lrl.LRLNet(activation="selu"),
        lambda: lrl.LRLNet(depth=1),
    ],
)
def test_unknown_shapes_are_refused(call):
    with pytest.raises(UsageError, match="expected"):
        call()
