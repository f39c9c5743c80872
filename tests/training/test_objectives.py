import copy

import numpy as np
import pytest
import torch

from edgeexpo.imaging.color import rgb_to_lab
from edgeexpo.models import kdfusion
from edgeexpo.training import objectives


def test_lab_is_the_runtimes():
    picture = np.random.default_rng(0).random((6, 7, 3), dtype=np.float32)
    tensor = objectives.rgb_to_lab_tensor(torch.from_numpy(picture).permute(2, 0, 1)[None])
    expected = rgb_to_lab(picture) / (50, 128, 128) - (1, 0, 0)
    np.testing.assert_allclose(tensor[0].permute(1, 2, 0), expected, atol=2e-4)


def test_lab_has_a_finite_gradient_at_black():
    black = torch.zeros(1, 3, 2, 2, requires_grad=True)
    objectives.rgb_to_lab_tensor(black).sum().backward()
    assert torch.isfinite(black.grad).all()


def test_luma_is_bt_601():
    picture = torch.eye(3)[None, :, :, None]
    np.testing.assert_allclose(
        objectives.luma_of_tensor(picture)[0, 0, :, 0], (0.299, 0.587, 0.114)
    )


def test_low_level_features_are_followed_when_asked_for():
    torch.manual_seed(0)
    student, teacher = (kdfusion.build(f"kdfusion-{k}-mobile") for k in ("dense", "teacher"))
    batch = {name: torch.rand(2, 3, 16, 16) for name in ("under", "over", "near", "far", "truth")}
    objective = objectives.OBJECTIVES["distilled"]
    losses = [
        objective.loss(student, batch, objectives.Helpers(teacher, low_level=flag))
        for flag in (False, True)
    ]
    _, (low, *_) = student.with_features(*objective.inputs(batch))
    distance = torch.mean(torch.abs(low - teacher.features(batch["truth"])[0]))
    torch.testing.assert_close(losses[1] - losses[0], 0.1 * distance)


def test_imitation_is_zero_for_the_teacher_itself_and_sees_the_drawn_pictures():
    teacher = kdfusion.build("kdfusion-teacher-mobile").eval()
    seen = []

    class Student(torch.nn.Module):
        def __init__(self, offset):
            super().__init__()
            self.offset = offset

        def forward(self, picture):
            seen.append(len(picture))
            return teacher(picture) + self.offset

    batch = {name: torch.rand(2, 3, 32, 32) for name in ("truth", "under", "over", "near", "far")}
    others = [(torch.rand(1, 3, 40, 40),)]
    own = objectives.OBJECTIVES["reconstruction"]
    with torch.no_grad():
        loss = objectives.imitation(own, teacher, others, exact=True).loss
        alone = objectives.imitation(own, teacher, exact=True).loss
        assert float(loss(Student(0.0), batch, objectives.Helpers())) == pytest.approx(0, abs=1e-5)
        assert float(loss(Student(0.1), batch, objectives.Helpers())) > 1
        alone(Student(0.0), batch, objectives.Helpers())
    assert seen == [5, 5, 4]


@pytest.mark.parametrize("crop", [8, 16, 40])
def test_imitation_takes_crops_of_any_size(crop):
    teacher = torch.nn.Conv2d(3, 3, 1)
    shifted = copy.deepcopy(teacher)
    with torch.no_grad():
        shifted.bias += 0.1
    own = objectives.OBJECTIVES["interpolation"]
    loss = objectives.imitation(own, teacher, exact=True).loss
    batch = {"y0": torch.rand(2, 3, crop, crop), "truth": torch.rand(2, 3, crop, crop)}
    with torch.no_grad():
        found = float(loss(shifted, batch, objectives.Helpers()))
    assert found >= 0.3 * objectives.IMITATION
