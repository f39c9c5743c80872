from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.parity.metrics.explanation import NAMES_IT, explained
from edgeexpo.parity.probes import bracket_probes
from tests.support.pictures import smooth_picture

SCENE = bracket_probes(2, 128)[-1].frames[0]


def share(metric, candidate, reference=SCENE, value=0.0):
    return explained(metric, reference, candidate.astype(np.float32), value)


def blurred(picture):
    return sum(np.roll(picture, s, (0, 1)) for s in ((0, 0), (1, 0), (0, 1), (1, 1))) / 4


def test_tone_explains_any_common_curve_and_no_blur():
    for candidate in (SCENE * 0.9 + 0.03, SCENE**1.3, SCENE * 0):
        assert share("contrast_change", candidate) > NAMES_IT
        assert share("luminance_shift", candidate) > NAMES_IT
        assert share("color_cast", candidate) < NAMES_IT
    assert share("contrast_change", blurred(SCENE)) < NAMES_IT


def test_a_matrix_explains_a_cast():
    warm = SCENE * np.array([1.05, 1, 0.95])
    assert share("color_cast", warm) > NAMES_IT
    assert share("contrast_change", warm) < NAMES_IT


def test_a_displacement_explains_a_shift_and_no_curve():
    assert share("pixel_shift", np.roll(SCENE, 1, axis=1)) > NAMES_IT
    assert share("pixel_shift", SCENE**1.3) < NAMES_IT


def test_few_levels_explain_banding_and_a_checkerboard_does_not():
    smooth = smooth_picture(256, 256, 1)
    assert share("banding", np.rint(smooth * 63) / 63, smooth) > NAMES_IT
    sign = 1 - 2 * (np.indices(smooth.shape[:2]).sum(axis=0) % 2)[..., None]
    assert share("banding", smooth + 0.02 * sign, smooth) < NAMES_IT


def test_a_broken_border_explains_itself():
    border = SCENE.copy()
    border[:2] = 0
    assert share("border_excess", border) == pytest.approx(1)
    assert share("border_excess", SCENE + 0.01) < NAMES_IT


def test_clipping_explains_clipped_pixels():
    assert share("clipped_change", np.where(SCENE > 0.6, 1, SCENE)) == pytest.approx(1)
    assert share("clipped_change", SCENE + 0.01) == 0


def test_metrics_of_any_error_explain_it():
    assert share("psnr", SCENE + 0.1) == share("orientation", SCENE[::-1]) == 1
    assert share("flicker", SCENE + 0.02, value=0.02 * 255) == pytest.approx(1)
    assert share("color_cast", SCENE) == 0
