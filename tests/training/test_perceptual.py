import pytest
import torch

from edgeexpo.errors import WeightsError
from edgeexpo.training.perceptual import CHANNELS, VGG_TAPS, Perceptual


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """Write a random state dict with torchvision's names."""
    state, inputs, index = {}, 3, 0
    for outputs in CHANNELS:
        if outputs == 0:
            index += 1
            continue
        state[f"features.{index}.weight"] = torch.randn(outputs, inputs, 3, 3) * 0.02
        state[f"features.{index}.bias"] = torch.zeros(outputs)
        inputs, index = outputs, index + 2
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(state, path)
    return path


def test_taps_are_the_first_relu_of_each_of_five_blocks(vgg):
    distance = Perceptual(vgg)
    kinds = [type(distance.features[i]).__name__ for i in VGG_TAPS]
    assert kinds == ["ReLU"] * 5
    pools = [i for i, m in enumerate(distance.features) if isinstance(m, torch.nn.MaxPool2d)]
    assert [sum(p < tap for p in pools) for tap in VGG_TAPS] == [0, 1, 2, 3, 4]


def test_distance_is_zero_at_equality_and_has_a_gradient(vgg):
    distance = Perceptual(vgg)
    truth = torch.rand(1, 3, 32, 32)
    assert distance(truth, truth) == 0
    other = torch.rand(1, 3, 32, 32, requires_grad=True)
    distance(other, truth).backward()
    assert other.grad.abs().max() > 0
    assert all(not p.requires_grad for p in distance.parameters())


def test_another_state_dict_is_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"not a VGG19 state dict: it lacks features\.0"):
        Perceptual(tmp_path / "w.pth")
