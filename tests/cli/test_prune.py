"""Tests of ``edgeexpo prune`` and ``edgeexpo export --prune`` as a user calls them."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.cli import main
from edgeexpo.evaluation.predict import float_session
from edgeexpo.models import zoo
from edgeexpo.models.pruned_weights import load_checkpoint, read_metadata
from edgeexpo.workflows import pruned_networks
from edgeexpo.workflows.networks import open_network

SMALL = ["--steps", "2", "--batch", "2", "--crop", "32", "--scenes", "4", "--scene-size", "64"]


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """Untrained pruned weights and the document about them."""
    path, said = tmp_path_factory.mktemp("pruned") / "pruned.safetensors", io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["prune", "lrl-mobile", "--ratio", "0.5", "-o", str(path), "--json"]) == 0
    return path, json.loads(said.getvalue())


@pytest.fixture
def narrow(pruned, tmp_path):
    """A copy of these weights for one test, and the document about them."""
    path, document = pruned
    return Path(shutil.copy(path, tmp_path)), document


def test_it_writes_narrow_weights_that_load_anywhere(narrow):
    path, document = narrow
    assert document["model"] == "lrl-mobile"
    assert 0.5 <= document["ratio"] < 0.6
    assert document["macs"][1] == pytest.approx(
        document["macs"][0] * (1 - document["ratio"]), rel=0.01
    )
    assert document["widths"]["body.0"] == [24, 16]
    assert document["widths"]["body.10"] == [3, 3]
    assert "input" in document["whole"]["body.10"]
    assert document["steps"] == 0
    assert load_file(path)["body.0.weight"].shape == (16, 3, 3, 3)
    network = zoo.get("lrl-mobile").build()
    load_checkpoint(network, path, "lrl-mobile")
    assert sum(p.numel() for p in network.parameters()) == document["params"][1]
    float_session("lrl-mobile", path)


@pytest.mark.parametrize(("side", "count"), [(64, 21), (512, 7), (2048, 4)])
def test_layers_are_reconstructed_on_fewer_pictures_where_they_are_large(side, count, monkeypatch):
    monkeypatch.setattr(
        pruned_networks,
        "photograph_inputs",
        lambda _, seed: [
            (torch.full((1,), 7.0 * seed + i).expand(1, 3, side, side),) for i in range(7)
        ],
    )
    used = []
    monkeypatch.setattr(
        pruned_networks, "reconstruct", lambda *arguments: used.extend(arguments[-1])
    )
    pruned_networks.take_over(SimpleNamespace(module=None, kept={}), None, None)
    assert len({float(picture[0, 0, 0, 0]) for (picture,) in used}) == len(used) == count


@pytest.mark.slow
def test_a_written_file_stays_without_force(narrow, capsys):
    path, _ = narrow
    before = path.read_bytes()
    arguments = ["prune", "lrl-mobile", "-o", str(path)]
    assert main(arguments) == 2
    assert "use --force" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert main([*arguments, "--ratio", "0.2", "--force"]) == 0
    text = capsys.readouterr().out
    assert "not trained after pruning" in text
    assert "multiply-accumulates" in text
    assert path.read_bytes() != before


@pytest.mark.slow
def test_it_trains_on_data_and_goes_on(data_folder, tmp_path, capsys):
    path, folder = tmp_path / "pruned.safetensors", tmp_path / "run"
    arguments = ["prune", "lrl-mobile", "--data", str(data_folder), "-o", str(path), "--json"]
    arguments += [*SMALL, "--importance", "taylor", "--scope", "global", "--run", str(folder)]
    assert main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["steps"] == 2
    assert document["validation_loss"] > 0
    assert read_metadata(path)["preset"] == "lrl-mobile"
    assert (folder / "curve.png").exists()
    load_checkpoint(zoo.get("lrl-mobile").build(), path, "lrl-mobile")


@pytest.mark.slow
def test_without_a_step_layers_are_reconstructed_on_data_alone(
    narrow, data_folder, tmp_path, capsys
):
    path = tmp_path / "more.safetensors"
    arguments = ["--ratio", "0.5", "--data", str(data_folder), "-o", str(path), "--json", *SMALL]
    run = ["--run", str(tmp_path / "run"), "--steps", "0"]
    assert main(["prune", "lrl-mobile", *arguments, *run]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 0
    embedded, data = load_file(narrow[0]), load_file(path)
    assert {k: v.shape for k, v in embedded.items()} == {k: v.shape for k, v in data.items()}
    assert not embedded["body.2.weight"].equal(data["body.2.weight"])


def test_zeros_are_reported_as_a_smaller_download(tmp_path, capsys):
    path = tmp_path / "sparse.safetensors"
    arguments = ["prune", "lrl-mobile", "--unstructured", "--ratio", "0.7", "-o", str(path)]
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["zeros"] == pytest.approx(0.7, abs=0.02)
    assert document["compressed_bytes"][1] < 0.5 * document["compressed_bytes"][0]
    assert "macs" not in document
    state = load_file(path)
    weights = [v for v in state.values() if v.dim() == 4]
    zeros = sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
    assert document["zeros"] == pytest.approx(zeros, abs=1e-3)
    load_checkpoint(zoo.get("lrl-mobile").build(), path, "lrl-mobile")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lrl-mobil"], "did you mean 'lrl-mobile'"),
        (["lrl-mobile", "--ratio", "0.99"], "would empty layers"),
        (["lrl-mobile", "--ratio", "1.5"], "expected a share above 0 and below 1"),
        (["lrl-mobile", "--importance", "taylor"], "give --data DIR"),
        (["lrl-mobile", "--importance", "size"], "expected one of magnitude, taylor"),
        (["lrl-mobile", "-o", "pruned.pth"], "must be a .safetensors file"),
        (["lrl-mobile", "--data", "nowhere"], "no folder at nowhere"),
        (["lrl-3"], "ships without weights"),
        (["lrl-mobile", "--unstructured", "--data", "."], "without training"),
        (["lrl-mobile", "--data", ".", "--crop", "512"], "do not fit scenes of"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["prune", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.glob("*.safetensors"))


EXPORT = ["export", "lrl-mobile", "--target", "onnx", "--precision", "fp32", "--size", "64,64"]


@pytest.mark.slow
def test_pruned_weights_are_exported_like_any_other(narrow, tmp_path, picture_folder):
    path, document = narrow
    output = tmp_path / "bundle"
    pictures = ["--images", str(picture_folder), "-o", str(output)]
    assert main([*EXPORT, "--weights", str(path), *pictures]) == 0
    bundle = Bundle.open(output)
    assert bundle.manifest.status == "verified"
    assert bundle.manifest.artifacts[0].bytes < 6 * document["params"][1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ratio", "said"), [("0.3", "without training after that"), ("0.5", "weights that ship")]
)
def test_export_prunes_and_says_whether_it_is_trained(
    ratio, said, tmp_path, picture_folder, capsys
):
    output = tmp_path / "bundle"
    pictures = ["--images", str(picture_folder), "-o", str(output)]
    assert main([*EXPORT, "--prune", ratio, *pictures]) == 0
    assert said in capsys.readouterr().err
    manifest = Bundle.open(output).manifest
    assert manifest.recipe.sparsity == float(ratio)
    assert manifest.status == "verified"


@pytest.mark.slow
def test_export_prunes_what_has_no_pruned_weights(capsys):
    network = open_network("lrl-mobile", prune=0.3)
    assert "without training after that" in capsys.readouterr().err
    whole = zoo.get("lrl-mobile").build()
    assert _parameters(network.module) < 0.9 * _parameters(whole)


def _parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_export_refuses_a_ratio_that_cannot_be(capsys, tmp_path):
    output = tmp_path / "bundle"
    assert main([*EXPORT, "--prune", "2", "-o", str(output)]) == 2
    assert "expected a share above 0 and below 1" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.slow
def test_export_takes_pruned_weights_that_ship(narrow, monkeypatch, capsys, tmp_path):
    path, document = narrow
    shipped = tmp_path / "lrl-mobile.pruned.safetensors"
    path.rename(shipped)
    monkeypatch.setattr(pruned_networks.zoo, "WEIGHTS", tmp_path)
    assert pruned_networks.shipped_pruned("lrl-mobile", 0.5) == shipped
    assert pruned_networks.shipped_pruned("lrl-mobile", 0.3) is None
    assert pruned_networks.shipped_pruned("lrl-mobile", 0.6) is None
    assert pruned_networks.shipped_pruned("lrl-8", 0.5) is None
    network = open_network("lrl-mobile", prune=0.5)
    assert "weights that ship: lrl-mobile.pruned.safetensors" in capsys.readouterr().err
    assert network.weights == shipped
    assert network.int8 is None
    assert _parameters(network.module) == document["params"][1]
    int8 = tmp_path / "lrl-mobile.pruned.int8.safetensors"
    arguments = ["--weights", str(shipped), "--method", "ptq", "--variants", "plain"]
    assert main(["quantize", "lrl-mobile", *arguments, "-o", str(int8)]) == 0
    assert open_network("lrl-mobile", prune=0.5).int8 == int8
