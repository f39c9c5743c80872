from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from edgeexpo.errors import WeightsError
from edgeexpo.models.weights import load_weights, read_weights


@pytest.fixture
def state(residual):
    return {k: v.clone() for k, v in residual.state_dict().items()}


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}])
def test_plain_checkpoints_are_read(residual, state, tmp_path, wrap):
    torch.save(wrap(state), tmp_path / "w.pth")
    save_file(state, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        load_weights(residual, read_weights(tmp_path / name), name)


def test_data_parallel_prefixes_are_dropped(state, tmp_path):
    torch.save({f"module.{k}": v for k, v in state.items()}, tmp_path / "w.pth")
    assert set(read_weights(tmp_path / "w.pth")) == set(state)


class Trojan:
    def __reduce__(self):
        return (print, ("code ran",))


def test_a_checkpoint_that_needs_code_is_refused(tmp_path, capsys):
    torch.save({"w": Trojan()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="needs code to be read"):
        read_weights(tmp_path / "w.pth")
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("body.0.bias"), r"1 missing \(body.0.bias\)"),
        (lambda s: s.update(extra=torch.zeros(1)), r"1 unknown \(extra\)"),
        (lambda s: s["body.0.bias"].fill_(float("nan")), "body.0.bias has NaN"),
        (lambda s: s.update({"body.0.bias": torch.zeros(3)}), "is 3, the network expects 8"),
    ],
)
def test_what_does_not_fit_is_named(residual, state, change, words):
    change(state)
    before = {k: v.clone() for k, v in residual.state_dict().items()}
    with pytest.raises(WeightsError, match=words):
        load_weights(residual, state, "w.pth")
    assert all(torch.equal(before[k], v) for k, v in residual.state_dict().items())


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_garbage_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=name):
        read_weights(tmp_path / name)


def test_missing_and_unknown_files_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="no weights at"):
        read_weights(tmp_path / "none.pth")
    (tmp_path / "w.h5").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"expected .safetensors or .pth"):
        read_weights(tmp_path / "w.h5")
