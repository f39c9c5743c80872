"""Tests of what all systems share: sizes, specs, and exported forms equal to textbook forms."""

import pytest
import torch
from torch.nn import functional as F

from edgeexpo.errors import UsageError
from edgeexpo.models import expandnet, exponet, kdfusion, twophase, zoo
from edgeexpo.models.deployable import deployable
from edgeexpo.models.layers import SELU_ALPHA, SELU_SCALE, Selu, conv3, double
from edgeexpo.models.strip_pooling import MixedPooling

PARAMETERS = {
    "twophase-full": 5_773_350,
    "twophase-mobile": 1_342_822,
    "twophase-unet-full": 4_533_571,
    "exponet-full": 16_456_899,
    "exponet-double-full": 36_926_068,
    "expandnet-full": 456_899,
    "kdfusion-teacher-full": 614_787,
    "kdfusion-dense-full": 831_883,
    "kdfusion-full": 867_019,
}
"""Parameter counts computed by hand, as in the design's tables, with k4 up-convolutions."""

PRESETS = [p for module in (twophase, exponet, expandnet, kdfusion) for p in module.PRESETS]


def inputs(preset: str, side: int = 64) -> list[torch.Tensor]:
    """Return random inputs of the sizes in a preset's spec."""
    spec = zoo.get(preset).spec
    side = max(side, spec.multiple)
    return [torch.rand(1, t.channels, *(t.size or (side, side))) for t in spec.inputs]


def trained(preset: str) -> torch.nn.Module:
    """Build a network with random normalisation statistics, so that folding changes weights."""
    torch.manual_seed(0)
    network = zoo.get(preset).build()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    return network.eval()


@pytest.mark.parametrize(("preset", "expected"), PARAMETERS.items())
def test_parameters(preset, expected):
    with torch.device("meta"):
        network = zoo.get(preset).build()
    assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize("preset", [p for p in PRESETS if not p.endswith("-full")])
def test_deployable_form_computes_the_same(preset):
    network = trained(preset)
    given = inputs(preset)
    with torch.no_grad():
        wanted, found = network(*given), deployable(network)(*given)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    spec = zoo.get(preset).spec
    assert wanted.shape[1] == spec.outputs[0].channels
    low, high = spec.outputs[0].value_range
    assert low <= wanted.min() <= wanted.max() <= high
    assert not [m for m in deployable(network).modules() if isinstance(m, torch.nn.BatchNorm2d)], (
        "normalisation is folded"
    )


@pytest.mark.parametrize("module", [twophase, exponet, expandnet, kdfusion])
def test_unknown_presets_are_refused(module):
    with pytest.raises(UsageError, match="unknown preset 'other'"):
        module.build("other")


@pytest.mark.parametrize("name", [*zoo.ALIASES])
def test_aliases_lead_to_presets(name):
    assert zoo.get(name).name == zoo.ALIASES[name]
    assert zoo.ALIASES[name] in zoo.ENTRIES


def test_selu_is_torchs():
    x = torch.linspace(-8, 8, 1001, dtype=torch.float64)
    torch.testing.assert_close(Selu()(x), F.selu(x))
    torch.testing.assert_close(F.selu(x), SELU_SCALE * F.elu(x, SELU_ALPHA))


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("side", [1, 5, 8])
def test_double_doubles_and_stride_halves(kernel, side):
    assert double(2, 3, kernel)(torch.rand(1, 2, side, side)).shape == (1, 3, 2 * side, 2 * side)
    assert conv3(2, 3, stride=2)(torch.rand(1, 2, 2 * side, side)).shape[2] == side


def textbook_mixed_pooling(layer: MixedPooling, x: torch.Tensor) -> torch.Tensor:
    """Compute SPNet's formula with adaptive pooling to one and interpolation back to the size."""
    size = x.shape[2:]
    square = layer.reduce_square(x)
    total = layer.identity(square)
    for window, convolution in zip(layer.pools, layer.pooled, strict=True):
        pooled = F.adaptive_avg_pool2d(square, (size[0] // window, size[1] // window))
        total = total + F.interpolate(convolution(pooled), size, mode="bilinear")
    square = layer.merge_square(F.relu(total))
    strip = layer.reduce_strip(x)
    rows = F.interpolate(layer.rows(F.adaptive_avg_pool2d(strip, (1, None))), size, mode="bilinear")
    columns = layer.columns(F.adaptive_avg_pool2d(strip, (None, 1)))
    strip = layer.merge_strip(F.relu(rows + F.interpolate(columns, size, mode="bilinear")))
    return F.relu(x + layer.expand(torch.cat([square, strip], dim=1)))


@pytest.mark.parametrize("size", [(16, 16), (32, 48)])
def test_strip_pooling_by_means_is_the_textbooks(size):
    layer = MixedPooling(16, (8, 16)).eval()
    x = torch.rand(2, 16, *size)
    torch.testing.assert_close(layer(x), textbook_mixed_pooling(layer, x), atol=1e-5, rtol=0)


def textbook_expandnet(network: expandnet.ExpandNet, picture: torch.Tensor) -> torch.Tensor:
    """Compute the published formula of ExpandNet on one picture, with functions only."""

    def layers(prefix: str, x: torch.Tensor, last: int, **options: int) -> torch.Tensor:
        state = network.state_dict()
        for index in range(last + 1):
            key = f"{prefix}.{index}.0" if f"{prefix}.{index}.0.weight" in state else None
            weight = state[f"{key or f'{prefix}.{index}'}.weight"]
            bias = state[f"{key or f'{prefix}.{index}'}.bias"]
            own = options if weight.shape[2] == 3 else {}
            x = F.conv2d(x, weight, bias, **own)
            x = F.selu(x) if key else x
        return x

    small = F.interpolate(picture, (256, 256), mode="bilinear", align_corners=False)
    local = layers("local_net", picture, 1, padding=1)
    middle = layers("mid_net", picture, 3, padding=2, dilation=2)
    vector = layers("glob_net", small, 6, stride=2, padding=1)
    merged = torch.cat([local, middle, vector.expand(-1, -1, *picture.shape[2:])], dim=1)
    return torch.sigmoid(layers("end_net", merged, 1))


def test_expandnet_is_the_published_formula():
    torch.manual_seed(0)
    network = expandnet.build("expandnet-full").eval()
    picture = torch.rand(1, 3, 60, 44)
    small = F.interpolate(picture, (256, 256), mode="bilinear", align_corners=False)
    with torch.no_grad():
        expected = textbook_expandnet(network, picture)
        torch.testing.assert_close(network(picture, small), expected, atol=1e-5, rtol=0)


def test_expandnet_refuses_an_unknown_activation():
    with pytest.raises(UsageError, match="expected 'selu' or 'relu'"):
        expandnet.ExpandNet(expandnet.ExpandNetShape(8, "gelu"))


def test_teacher_and_students_tap_the_same_blocks():
    teacher = kdfusion.build("kdfusion-teacher-mobile").eval()
    student = kdfusion.build("kdfusion-mobile").eval()
    seen = []
    for number, block in enumerate(student.trunk, 1):
        block.register_forward_hook(lambda m, i, o, number=number: seen.append((number, o)))
    pair = torch.rand(2, 1, 3, 64, 64)
    _, taps = student.with_features(*pair)
    outputs = dict(seen)
    assert all(torch.equal(outputs[n], t) for n, t in zip((2, 4, 6), taps[1:], strict=True))
    assert [t.shape for t in taps] == [t.shape for t in teacher.features(pair[0])]


def test_mean_ablation_sees_the_mean():
    network = trained("twophase-mean-mobile")
    under, over = torch.rand(2, 1, 3, 16, 16)
    expected = network.phase2(under, (under + over) / 2, over)
    assert torch.equal(network(under, over), expected)
