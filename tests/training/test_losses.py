import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from edgeexpo.models import exponet
from edgeexpo.training import losses


def test_interpolation_is_squared_error_plus_angle():
    truth = torch.rand(2, 3, 5, 5, dtype=torch.float64) + 0.1
    assert losses.interpolation_loss(truth, truth) == pytest.approx(0, abs=1e-5)
    brighter = losses.interpolation_loss(1.1 * truth, truth, color_weight=1.0)
    assert brighter == pytest.approx(float(((0.1 * truth) ** 2).mean()), rel=0.05)
    other = torch.rand_like(truth)
    cosine = torch.nn.functional.cosine_similarity(other, truth, dim=1)
    expected = ((other - truth) ** 2).mean() + 0.05 * (1 - cosine).mean()
    assert losses.interpolation_loss(other, truth) == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("loss", [losses.interpolation_loss, losses.radiance_loss])
def test_gradient_is_finite_at_equality_and_at_black(loss):
    predicted = torch.zeros(1, 3, 2, 2)
    predicted[..., 0] = 0.5
    predicted.requires_grad_()
    loss(predicted, predicted.detach().clone()).backward()
    assert torch.isfinite(predicted.grad).all()


def test_ssim_is_scikit_images():
    rng = np.random.default_rng(0)
    truth = rng.random((40, 50, 3))
    other = np.clip(truth + rng.normal(0, 0.1, truth.shape), 0, 1)
    _, reference = structural_similarity(
        truth,
        other,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=2,
        full=True,
    )
    tensors = [torch.from_numpy(p).permute(2, 0, 1)[None] for p in (truth, other)]
    inside = reference[5:-5, 5:-5].mean()
    assert losses.ssim_loss_map(*tensors) == pytest.approx(inside, abs=1e-6)


def test_structure_loss_weights_ssim():
    truth, other = torch.rand(2, 1, 3, 16, 16)
    expected = (truth - other).abs().mean() + 0.25 * (1 - losses.ssim_loss_map(truth, other))
    assert losses.structure_loss(truth, other, 0.25) == pytest.approx(float(expected))


def test_summed_loss_and_penalty_are_sums():
    truth = torch.zeros(2, 3, 4, 5)
    assert losses.summed_loss(truth + 0.5, truth) == pytest.approx(0.5 * 60)
    network = exponet.build("exponet-mobile")
    squares = sum(
        float((m.weight.detach() ** 2).sum()) for m in network.modules() if hasattr(m, "stride")
    )
    assert losses.weight_penalty(network).item() == pytest.approx(0.2 * squares, rel=1e-5)


def test_radiance_loss_is_l1_plus_five_cosines():
    truth = torch.rand(1, 3, 4, 4) + 0.1
    assert losses.radiance_loss(0.5 * truth, truth) == pytest.approx(
        float(0.5 * truth.mean()), rel=1e-3
    )
    turned = truth[:, [1, 2, 0]]
    cosine = (turned * truth).sum(1) / (turned.norm(dim=1) * truth.norm(dim=1))
    expected = (turned - truth).abs().mean() + 5 * (1 - cosine).mean()
    assert losses.radiance_loss(turned, truth) == pytest.approx(float(expected), rel=1e-4)


def test_distillation_pulls_the_student_only():
    student = [torch.zeros(1, 2, 3, 3, requires_grad=True)]
    teacher = [torch.ones(1, 2, 3, 3, requires_grad=True)]
    loss = losses.distillation_loss(student * 3, teacher * 3)
    loss.backward()
    assert loss.item() == pytest.approx(3.0)
    assert teacher[0].grad is None
    assert student[0].grad is not None
