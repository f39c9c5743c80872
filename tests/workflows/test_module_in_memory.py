"""Public functions with a module in memory, which they leave unchanged."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn

import edgeexpo
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import ModuleError, UsageError, WeightsError
from edgeexpo.models.foreign import input_shapes, input_texts
from edgeexpo.quantization import int8_weights
from edgeexpo.workflows import quantize as quantizing
from edgeexpo.workflows.networks import open_network

pytestmark = pytest.mark.usefixtures("small_probes")

INPUTS = {"picture": (1, 3, 64, 64)}


class Tiny(nn.Module):
    """A network of two convolutions, with batch normalisation and dropout between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.drop(self.norm(self.first(picture))))
        return torch.clamp(picture + 0.2 * self.last(inner), 0, 1)


class Two(nn.Module):
    """A network with two different inputs: ``dark`` has one channel, and ``bright`` has three."""

    def forward(self, dark: torch.Tensor, bright: torch.Tensor) -> torch.Tensor:
        return 0.25 * dark[:, :1] + 0.75 * bright


@pytest.fixture
def module():
    """Yield a module in training mode, and check after the test that it is unchanged.

    It has a frozen parameter, a gradient and a hook.
    """
    torch.manual_seed(0)
    found = Tiny().train()
    found.first.bias.requires_grad_(False)
    found.last.weight.grad = torch.ones_like(found.last.weight)
    found.last.register_forward_hook(lambda *_: None)
    before = copy.deepcopy(found.state_dict())
    yield found
    assert found.training
    assert found.drop.training
    assert all(torch.equal(v, before[k]) for k, v in found.state_dict().items())
    assert [n for n, p in found.named_parameters() if not p.requires_grad] == ["first.bias"]
    assert found.last.weight.grad is not None
    assert len(found.last._forward_hooks) == 1


def test_export_proves_it_and_names_its_class(module, picture_folder, tmp_path):
    bundle = edgeexpo.export_bundle(
        module,
        inputs=INPUTS,
        targets="onnx",
        precision="fp32",
        gates="psnr>=80",
        images=picture_folder,
        output=tmp_path / "net",
    )
    manifest = bundle.manifest
    assert manifest.status == "verified"
    assert (manifest.recipe.model, manifest.model.name) == ("Tiny", "Tiny")
    assert manifest.model.frames == ("picture",)
    assert manifest.weights_sha256 is None
    assert "psnr>=80" in [str(gate) for gate in manifest.recipe.gates["fp32"]]
    assert edgeexpo.check_parity(bundle.path, images=picture_folder)
    assert edgeexpo.inspect(bundle.path).document["model"]["name"] == "Tiny"


def test_export_takes_int8_weights_that_were_made_of_it_and_no_others(
    module, picture_folder, tmp_path
):
    path = tmp_path / "net.int8.safetensors"
    made = edgeexpo.quantize(
        module, path, inputs=INPUTS, variants="plain", calibration=picture_folder
    )
    assert made.path == path
    facts = int8_weights.read_int8_weights(path).facts
    assert (facts["preset"], facts["variant"]) == ("Tiny", "plain")
    assert open_network(module, inputs=INPUTS, int8=path).int8 == path
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.last.bias += 1e-3
    with pytest.raises(WeightsError, match=r"made from other float weights than Tiny"):
        open_network(other, inputs=INPUTS, int8=path)


def test_quantize_writes_nothing_unless_asked(module, picture_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = edgeexpo.quantize(
        module, inputs=INPUTS, variants="plain", calibration=str(picture_folder)
    )
    assert made.path is None
    assert [row.variant for row in made.comparison.rows] == ["plain"]
    assert not list(tmp_path.iterdir())


def test_sensitivity_has_a_row_for_every_convolution(module, picture_folder):
    found = edgeexpo.sensitivity(
        module, inputs=INPUTS, calibration=picture_folder, images=picture_folder
    )
    assert found.model == "Tiny"
    assert {row.sensitivity.operator.module for row in found.layers} == {"first", "last"}


def test_prune_gives_a_narrower_module_and_its_weights(module, tmp_path):
    path = tmp_path / "net.pruned.safetensors"
    made = edgeexpo.prune(module, path, inputs=INPUTS, ratio=0.4)
    assert made.module.first.out_channels == 8
    assert made.result.ratio >= 0.4
    again = open_network(module, inputs=INPUTS, weights=path).module
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(picture), made.module(picture))


def test_a_network_opens_pruned(module, capsys):
    network = open_network(module, inputs=INPUTS, prune=0.4)
    assert network.module.first.out_channels == 8
    assert "without training after that" in capsys.readouterr().err


def test_evaluate_measures_it_beside_the_baselines(module, picture_folder, tmp_path):
    found = edgeexpo.evaluate(
        module, picture_folder, inputs="picture=1x3x64x64", output=tmp_path / "out"
    )
    assert {"Tiny", "the input"} <= {row["model"] for row in found.rows}
    assert list((tmp_path / "out").glob("*Tiny.torch.float.png"))
    with pytest.raises(UsageError, match="unknown kind 'hdr'; expected one of"):
        edgeexpo.evaluate(module, picture_folder, inputs=INPUTS, kind="hdr")
    with pytest.raises(UsageError, match="run in float"):
        edgeexpo.evaluate(module, picture_folder, inputs=INPUTS, target="onnx")


@pytest.mark.slow
def test_tune_finds_a_recipe_and_a_forward_of_its_own_is_measured_anew(
    module, picture_folder, tmp_path
):
    def tuned(network, **changes):
        return edgeexpo.tune(
            network,
            target="onnx",
            gates="psnr>=20",
            inputs=INPUTS,
            calibration=picture_folder,
            images=picture_folder,
            candidates=1,
            runs=1,
            cache=tmp_path / "cache",
            **changes,
        )

    found = tuned(module, output=tmp_path / "net.recipe.json")
    assert found
    assert found.recipe.model == "Tiny"
    assert found.recipe.inputs == ("picture=1x3x64x64",)
    assert found.path.is_file()
    assert tuned(module).reused == 1

    class Other(Tiny):
        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            return 0.5 * super().forward(picture)

    other = Other()
    other.load_state_dict(module.state_dict())
    assert tuned(other).reused == 0


def test_training_is_for_names_of_the_zoo(module, data_folder):
    with pytest.raises(UsageError, match="model is a Tiny; train takes a name of the zoo"):
        edgeexpo.train(module, data_folder)
    with pytest.raises(UsageError, match="have a recipe to train by; leave `data` out"):
        edgeexpo.prune(module, inputs=INPUTS, data=data_folder)


def test_inputs_are_a_mapping_or_texts():
    shape = (1, 3, 64, 80)
    expected = [("picture", shape)]
    assert input_shapes({"picture": shape}) == expected
    assert input_shapes("picture=1x3x64x80") == expected
    assert input_shapes(["picture=1x3x64x80"]) == expected
    assert input_shapes(["1x3x64x80"]) == [(None, shape)]
    assert input_texts({"picture": shape}) == ("picture=1x3x64x80",)
    assert input_texts("1x3x64x80") == ("1x3x64x80",)


def test_inputs_are_told_apart_by_name_in_any_order():
    shapes = {"bright": (1, 3, 64, 64), "dark": (1, 1, 64, 64)}
    network = open_network(Two(), inputs=shapes)
    assert [(t.name, t.channels) for t in network.spec.inputs] == [("dark", 1), ("bright", 3)]


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (Tiny(), {}, "Tiny needs its inputs; give `inputs` NAME=1x3xHxW for each"),
        (Tiny(), {"inputs": {"picture": (3, 64, 64)}}, "expected NAME=1x3x512x512"),
        (Tiny(), {"inputs": {"picture": (2, 3, 64, 64)}}, "expected a batch of 1"),
        (Two(), {"inputs": INPUTS}, r"forward takes 2 input\(s\) \(dark, bright\), found 1"),
        (Tiny(), {"inputs": INPUTS, "size": (64, 64)}, "`size` is for models of the zoo"),
        (Tiny, {"inputs": INPUTS}, "model is a type; expected a name of the zoo"),
        ("lrl-mobile", {"inputs": INPUTS}, "`inputs` is for foreign modules"),
    ],
)
def test_a_request_that_cannot_be_met_says_what_is_expected(model, arguments, message):
    with pytest.raises(UsageError, match=message):
        open_network(model, **arguments)


def test_a_module_that_cannot_be_copied_is_refused():
    module = Tiny()
    module.lock = threading.Lock()
    with pytest.raises(ModuleError, match="Tiny cannot be copied"):
        open_network(module, inputs=INPUTS)


def test_a_text_is_never_taken_letter_by_letter(module, monkeypatch):
    taken = []
    monkeypatch.setattr(quantizing, "_searched", lambda *arguments: taken.extend(arguments[2]))
    with pytest.raises(AttributeError):  # The code after the search needs its result.
        edgeexpo.quantize(module, inputs=INPUTS, variants="minmax")
    assert taken == ["minmax"]


def test_a_bundle_in_memory_or_its_folder_is_the_same(exported):
    opened = edgeexpo.inspect(Bundle.open(exported))
    assert opened.document == edgeexpo.inspect(str(exported)).document
    assert opened
    assert np.all([row["intact"] for row in opened.document["artifacts"]])
