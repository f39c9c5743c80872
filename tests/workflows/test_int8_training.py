"""Training of the INT8 weights of a user's network, which imitates its own float form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import edgeexpo
from edgeexpo.errors import ExportError, TrainingError, UsageError, WeightsError
from edgeexpo.quantization import int8_weights
from edgeexpo.workflows import int8_training
from edgeexpo.workflows.networks import open_network

SMALL = {"steps": 2, "batch": 2, "scenes": 3, "crop": 32, "variants": "plain"}


class Net(nn.Module):
    """Two convolutions; an option says what stands before and after them."""

    def __init__(self, channels: int = 3, end: str = "clip", layers: int = 2, width: int = 8):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.last = nn.Conv2d(width, 3, 3, padding=1)
        self.unused = nn.Conv2d(3, 3, 1) if layers > 2 else None
        self.end = end

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.first(photo))
        if self.end == "whole":
            inner = inner * inner.mean(dim=(2, 3), keepdim=True)
        made = (photo[:, :3] + 0.3 * self.last(inner)).clamp(0, 1)
        if self.end == "codes":
            return (made * 255).round().to(torch.uint8)
        if self.end == "compared":
            return (made > 0.5).float()
        return made


class Two(nn.Module):
    """A network of a dark picture and the luma of a bright one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Net(4)

    def forward(self, dark: torch.Tensor, bright: torch.Tensor) -> torch.Tensor:
        return self.inner(torch.cat([dark, bright], 1))


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch):
    """Judge on two photographs instead of six."""
    unseen = int8_training.unseen
    monkeypatch.setattr(int8_training, "unseen", lambda *given: unseen(*given)[:2])


def trained(module, data, folder, inputs="photo=1x3x64x64", **changes):
    return edgeexpo.quantize(
        module,
        folder / "net.int8.safetensors",
        inputs=inputs,
        calibration=data / "photos",
        data=data,
        run=folder / "run",
        force=True,
        **(SMALL | changes),
    )


@pytest.mark.slow
def test_export_makes_its_program_of_what_was_trained_and_training_goes_on(data_folder, tmp_path):
    module = Net(layers=3)
    made = trained(module, data_folder, tmp_path)
    assert (made.facts["preset"], made.facts["method"], made.facts["steps"]) == ("Net", "qat", 2)
    assert [row.variant for row in made.comparison.rows] == ["plain", "trained"]
    network = open_network(module, inputs="photo=1x3x64x64", int8=made.path)
    read = int8_weights.read_int8_weights(made.path)
    program = int8_weights.quantized_by(network.capture(), read).exported.module()
    picture = torch.rand(1, 3, 48, 64)
    with torch.no_grad():
        assert torch.equal(program(picture), made.comparison.graph(picture))
    assert trained(module, data_folder, tmp_path, steps=3).facts["steps"] == 3
    assert len((tmp_path / "run" / "curve.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("module", "inputs", "changes"),
    [
        (Net(end="codes"), "photo=1x3x64x64", {}),
        (Net(end="whole"), "photo=1x3x32x48", {"crop": None}),
        (Two(), ["dark=1x3x64x64", "bright=1x1x64x64"], {}),
    ],
)
def test_every_kind_of_network_has_gradients_and_pictures_to_learn_from(
    module, inputs, changes, data_folder, tmp_path
):
    before = [p.detach().clone() for p in module.parameters()]
    made = trained(module, data_folder, tmp_path, inputs, learning_rate=1e-3, **changes)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
    start, end = made.comparison.rows
    assert start.score != end.score


@pytest.mark.slow
def test_by_default_it_starts_from_the_best_ranges_and_learns_from_the_embedded_photographs(
    data_folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(int8_training, "RANGES", int8_training.RANGES[::3])
    made = edgeexpo.quantize(
        Net(),
        inputs="photo=1x3x64x64",
        method="qat",
        calibration=data_folder / "photos",
        run=tmp_path,
        **(SMALL | {"variants": ()}),
    )
    tried = capsys.readouterr().err
    start, _ = made.comparison.rows
    assert all(f"{name}: worst" in tried for name in ("plain", "minmax"))
    assert made.facts["variant"] == start.variant
    assert made.facts["steps"] == 2
    assert (tmp_path / "scenes" / "shots-1-256-3-0" / "frame0.npy").is_file()


def test_a_network_without_gradients_says_so(data_folder, tmp_path):
    with pytest.raises(TrainingError, match="no gradient of the loss of Net reaches a weight"):
        trained(Net(end="compared"), data_folder, tmp_path)


def test_a_network_without_weights_has_nothing_to_train(data_folder, tmp_path):
    class Curve(nn.Module):
        def forward(self, photo):
            return photo**0.8

    with pytest.raises(ExportError, match="Curve has no operator that can run in INT8"):
        trained(Curve(), data_folder, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": 40, "inputs": "photo=1x3x32x48"}, "trains on crops of 16 to 32 pixels"),
        ({"batch": 0}, "`batch` is 0; expected 1 or more"),
        ({"inputs": "photo=1x2x64x64"}, "input 'photo' has 2 channels; expected 3"),
        ({"inputs": ["a=1x3x64x64", "b=1x3x64x64"]}, r"forward takes 1 input\(s\) \(photo\)"),
        ({"method": "ptq"}, "`data` is for training; leave it out"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(changes, message, data_folder, tmp_path):
    with pytest.raises(UsageError, match=message):
        trained(Net(), data_folder, tmp_path, **changes)


@pytest.fixture(scope="module")
def int8(data_folder, tmp_path_factory):
    """Make INT8 weights of a network by calibration."""
    path = tmp_path_factory.mktemp("int8") / "net.int8.safetensors"
    edgeexpo.quantize(
        Net(),
        path,
        inputs="photo=1x3x64x64",
        variants="plain",
        calibration=data_folder / "photos",
    )
    return path


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Net(width=16), r"that was pruned, first.* is \(8.* instead of \(16.*pruned `weights`"),
        (Net(width=4), r"that was not pruned, first.* is \(8.* instead of \(4"),
        (Two(), r"Net with 4 missing \(inner.first.weight, .* and 4 unknown \(first"),
    ],
)
def test_int8_weights_of_another_network_are_refused_by_what_differs(other, message, int8):
    inputs = {"photo": (1, 3, 64, 64)}
    if isinstance(other, Two):
        inputs = {"dark": (1, 3, 64, 64), "bright": (1, 1, 64, 64)}
    with pytest.raises(WeightsError, match=message):
        open_network(other, inputs=inputs, int8=int8)
