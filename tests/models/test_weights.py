from __future__ import annotations

import contextlib
import copy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model

from edgeexpo.errors import WeightsError
from edgeexpo.models.weights import load_weights, read_weights
from edgeexpo.testing.mutated.damage import DAMAGES, damaged
from edgeexpo.testing.mutated.weights import ENTRIES, WHOLES


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


def different(network):
    """Return the state of another network of the same shape."""
    return {k: v + 1 for k, v in network.state_dict().items()}


def wrong_and_right(residual):
    return different(residual), residual.state_dict()


WRAPPED = {
    "params": lambda w, s: {"params": s},
    "params_ema": lambda w, s: {"params": w, "params_ema": s},
    "ema after model": lambda w, s: {"model": w, "ema": s, "epoch": 3},
    "ema before model": lambda w, s: {"ema": s, "model": w},
    "ema with a key of its own": lambda w, s: {"model": w, "ema": {"module": s, "decay": 0.99}},
    "modelEMA": lambda w, s: {"model": w, "modelEMA": s},
    "state_dict_ema": lambda w, s: {"state_dict": w, "state_dict_ema": s},
    "swa": lambda w, s: {"net": w, "swa_state_dict": s},
    "optimizer beside": lambda w, s: {"net": s, "optimizer": {"ema": w, "state": {0: w}}},
    "generator": lambda w, s: {"d": w, "g": s},
    "statistics beside": lambda w, s: {"mine": s, "losses": {"psnr": torch.tensor(30.0)}},
    "torch.compile": lambda w, s: {f"_orig_mod.{k}": v for k, v in s.items()},
    "DataParallel of torch.compile": lambda w, s: {f"module._orig_mod.{k}": s[k] for k in s},
    "Lightning": lambda w, s: {"state_dict": {f"model.{k}": v for k, v in s.items()}},
    "Lightning with a loss": lambda w, s: {
        "state_dict": {**{f"net.{k}": s[k] for k in s}, "loss.vgg.weight": torch.ones(3, 3)}
    },
    "averaged prefix": lambda w, s: {
        **{f"online_model.{k}": w[k] for k in w},
        **{f"ema_model.{k}": s[k] for k in s},
        "step": torch.tensor(3),
    },
    "AveragedModel": lambda w, s: {
        "n_averaged": torch.tensor(3),
        **{f"module.{k}": s[k] for k in s},
    },
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_the_averaged_weights_are_found_under_any_wrapper(wrap, residual, tmp_path):
    wrong, right = wrong_and_right(residual)
    torch.save(wrap(wrong, right), tmp_path / "w.pth")
    loaded = copy.deepcopy(residual)
    loaded.load_state_dict(wrong)
    load_weights(loaded, read_weights(tmp_path / "w.pth"), "w.pth")
    assert all(torch.equal(right[k], v) for k, v in loaded.state_dict().items())


def test_a_note_says_which_weights_were_taken_and_what_else_there_is(residual, tmp_path, capsys):
    wrong, right = wrong_and_right(residual)
    torch.save({"params": wrong, "params_ema": right}, tmp_path / "w.pth")
    read_weights(tmp_path / "w.pth")
    said = capsys.readouterr().err
    assert "the weights params_ema (averaged) were taken; it also holds params" in said
    torch.save({"params": right}, tmp_path / "w.pth")
    read_weights(tmp_path / "w.pth")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("params", lambda w, s: {"params": s, "params_ema": w}),
        ("model", lambda w, s: {"model": {"state_dict": s}, "ema": {"state_dict": w}}),
        ("net", lambda w, s: {"state_dict": {f"{p}.{k}": d[k] for p, d in nets(w, s) for k in d}}),
        ("net.", lambda w, s: {f"{p}.{k}": d[k] for p, d in nets(w, s) for k in d}),
    ],
)
def test_a_key_chooses_the_weights(key, data, residual, tmp_path):
    wrong, right = wrong_and_right(residual)
    torch.save(data(wrong, right), tmp_path / "w.pth")
    state = read_weights(tmp_path / "w.pth", key)
    assert state.keys() == right.keys()
    assert all(torch.equal(state[k], v) for k, v in right.items())


def nets(wrong, right):
    return (("net", right), ("net_ema", wrong))


def test_an_unknown_key_and_equal_sets_are_refused_with_the_keys(residual, tmp_path):
    wrong, right = wrong_and_right(residual)
    torch.save({"first": wrong, "second": right}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"under first, second; choose one with `weights_key`"):
        read_weights(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"no weights under 'third'; expected one of first, sec"):
        read_weights(tmp_path / "w.pth", "third")
    both = {f"{p}.{k}": d[k] for p, d in (("first", wrong), ("second", right)) for k in d}
    with pytest.raises(WeightsError, match=r"under first, second; choose one with `weights_key`"):
        load_weights(residual, both, "w.pth")


def normalised(weight_norm=None):
    """Return a small network with batch normalisation whose second layer may be shared."""
    first = torch.nn.Conv2d(3, 3, 3)
    if weight_norm is not None:
        first = weight_norm(first)
    return torch.nn.Sequential(first, torch.nn.BatchNorm2d(3), torch.nn.Conv2d(3, 3, 1))


def test_a_missing_counter_of_batch_normalisation_is_accepted():
    network, loaded = normalised(), normalised()
    state = {k: v for k, v in network.state_dict().items() if "tracked" not in k}
    load_weights(loaded, state, "w.pth")
    assert torch.equal(loaded[0].weight, network[0].weight)


@pytest.mark.filterwarnings("ignore")
def test_old_weight_normalisation_is_converted_as_torch_does():
    old = normalised(torch.nn.utils.weight_norm)
    new = normalised(torch.nn.utils.parametrizations.weight_norm)
    load_weights(new, old.state_dict(), "w.pth")
    assert torch.equal(new[0].parametrizations.weight.original0, old[0].weight_g)
    assert torch.equal(new[0].parametrizations.weight.original1, old[0].weight_v)


def test_shared_tensors_that_safetensors_saves_once_are_loaded(tmp_path):
    network, loaded, apart = (normalised() for _ in range(3))
    for tied in (network, loaded):
        tied.append(tied[2])
    apart.append(torch.nn.Conv2d(3, 3, 1))
    save_model(network, str(tmp_path / "w.safetensors"))
    for module in (loaded, apart):
        load_weights(module, read_weights(tmp_path / "w.safetensors"), "w.safetensors")
        assert torch.equal(module[3].weight, network[2].weight)
    once = {k: v for k, v in network.state_dict().items() if not k.startswith("3.")}
    load_weights(loaded, once, "w.pth")
    with pytest.raises(WeightsError, match=r"2 missing \(3.weight, 3.bias\)"):
        load_weights(apart, once, "w.pth")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_other_float_types_become_the_type_of_the_network(kind, suffix, residual, tmp_path):
    state = {k: v.to(kind) for k, v in residual.state_dict().items()}
    path = tmp_path / f"w{suffix}"
    (torch.save if suffix == ".pth" else save_file)(state, path)
    loaded = copy.deepcopy(residual)
    load_weights(loaded, read_weights(path), path.name)
    for name, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, state[name].float(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_checkpoint_is_read_or_refused(state, tmp_path, damage, name):
    path = tmp_path / name
    torch.save(state, path) if name == "w.pth" else save_file(state, path)
    whole = path.read_bytes()
    for seed in range(40):
        path.write_bytes(damaged(whole, damage, np.random.default_rng(seed)))
        with contextlib.suppress(WeightsError):
            read_weights(path)


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_checkpoint_with_odd_values_is_loaded_or_refused(residual, tmp_path, kind):
    state = {k: v.clone() for k, v in residual.state_dict().items()}
    state["body.0.weight"] = ENTRIES[kind](state["body.0.weight"])
    torch.save(state, tmp_path / "w.pth")
    with contextlib.suppress(WeightsError):
        load_weights(copy.deepcopy(residual), read_weights(tmp_path / "w.pth"), "w.pth")


@pytest.mark.parametrize("kind", WHOLES)
def test_a_checkpoint_of_an_odd_form_is_loaded_or_refused(residual, state, tmp_path, kind):
    torch.save(WHOLES[kind](state), tmp_path / "w.pth")
    with contextlib.suppress(WeightsError):
        load_weights(copy.deepcopy(residual), read_weights(tmp_path / "w.pth"), "w.pth")
