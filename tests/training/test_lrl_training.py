import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgeexpo.models import lrl
from edgeexpo.training import lrl as training
from edgeexpo.training.losses import interpolation_loss


def pairs(count: int = 12, patch: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Flat patches, noisy and clean: learnable in seconds."""
    rng = np.random.default_rng(0)
    clean = np.broadcast_to(rng.uniform(0.2, 0.8, (count, 3, 1, 1)), (count, 3, patch, patch))
    noisy = np.clip(clean + rng.normal(0, 0.05, clean.shape), 0, 1)
    return tuple(np.rint(x * 65535).astype(np.uint16) for x in (noisy, clean))


def test_loss_is_squared_error_plus_angle():
    truth = torch.rand(2, 3, 5, 5, dtype=torch.float64) + 0.1
    assert interpolation_loss(truth, truth) == pytest.approx(0, abs=1e-5)
    brighter = interpolation_loss(1.1 * truth, truth, color_weight=1.0)
    assert brighter == pytest.approx(float(((0.1 * truth) ** 2).mean()), rel=0.05)
    other = torch.rand_like(truth)
    cosine = torch.nn.functional.cosine_similarity(other, truth, dim=1)
    expected = ((other - truth) ** 2).mean() + 0.05 * (1 - cosine).mean()
    assert interpolation_loss(other, truth) == pytest.approx(float(expected), rel=1e-3)


def test_loss_has_a_finite_gradient_at_equality_and_at_black():
    predicted = torch.zeros(1, 3, 2, 2)
    predicted[..., 0] = 0.5
    predicted.requires_grad_()
    interpolation_loss(predicted, predicted.detach()).backward()
    assert torch.isfinite(predicted.grad).all()


def test_training_learns_and_resumes(tmp_path):
    torch.manual_seed(0)
    data = pairs()
    plan = training.Plan("lrl-mobile", minutes=2 / 60, batch=4, average=0.9)
    first = training.train(plan, data, tmp_path, save_every=0.5)
    y0, truth = (torch.from_numpy(x.astype(np.float32) / 65535) for x in data)
    with torch.inference_mode():
        after = float(((first.mean(y0) - truth) ** 2).mean())
    assert after < 0.6 * float(((y0 - truth) ** 2).mean())
    longer = training.Plan("lrl-mobile", minutes=2.5 / 60, batch=4, average=0.9)
    second = training.train(longer, data, tmp_path)
    assert second.step > first.step
    weights = load_file(tmp_path / "lrl-mobile.safetensors")
    lrl.build("lrl-mobile").load_state_dict(weights)
    facts = json.loads((tmp_path / "training.json").read_text())
    assert facts["steps"] == second.step


@pytest.mark.parametrize("preset", ["lrl-mobile", "lrl-8"])
def test_widening_keeps_the_function_and_can_learn(preset):
    torch.manual_seed(0)
    small = lrl.build("lrl-mobile")
    torch.nn.init.normal_(small.body[-1].weight, std=0.05)
    run = training.Training(training.Plan(preset))
    run.widen(small)
    y0 = torch.rand(1, 3, 24, 24)
    torch.testing.assert_close(run.network.correction(y0), small.correction(y0))
    torch.testing.assert_close(run.mean.correction(y0), small.correction(y0))
    before = run.network.body[0].weight.clone()
    for _ in range(2):
        run.update(y0, torch.zeros_like(y0))
    moved = (run.network.body[0].weight - before).abs().sum(dim=(1, 2, 3)) > 0
    # A ReLU that is dark on this picture gets no gradient; most are not.
    assert moved.float().mean() > 0.8


def test_augmentation_treats_both_alike():
    values = np.random.default_rng(0).integers(0, 65535, (5, 3, 8, 8)).astype(np.uint16)
    y0, truth = training.augmented((values, values), 20, np.random.default_rng(1))
    assert torch.equal(y0, truth)
    assert y0.shape == (20, 3, 8, 8)


def test_learning_rate_warms_up_and_falls():
    run = training.Training(training.Plan("lrl-mobile", minutes=10))
    rates = []
    for seconds in (0, 6, 12, 300, 600):
        run.seconds = seconds
        rates.append(run.rate())
    assert rates[0] < rates[1] < rates[2] > rates[3] > rates[4] > 0
    assert rates[2] == pytest.approx(1e-3, rel=0.02)
    assert rates[4] == pytest.approx(1e-5, rel=0.02)
