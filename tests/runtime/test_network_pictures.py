from __future__ import annotations

import numpy as np
import pytest
from skimage.color import lab2rgb

from edgeexpo.runtime.network_pictures import displayed
from edgeexpo.spec import ModelSpec, TensorSpec


def network(**output):
    tensor = TensorSpec("y", **output)
    return ModelSpec("n", "t", ("x",), (TensorSpec("x"),), (tensor,), halo=1)


def test_radiance_is_judged_as_it_is_shown():
    output = np.array([[[0.0, 0.002, 0.214], [0.5, 1.0, 2.0]]], np.float32)
    found = displayed(network(transfer="linear"), output)
    expected = [[[0.0, 0.02584, 0.49999], [0.73536, 1.0, 1.0]]]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_lab_is_judged_as_rgb():
    output = np.array([[[0.0, 0.1, -0.2], [0.4, -0.15, 0.25]]], np.float32)
    found = displayed(network(color="Lab"), output)
    lab = np.stack([(output[..., 0] + 1) * 50, output[..., 1] * 128, output[..., 2] * 128], -1)
    np.testing.assert_allclose(found, lab2rgb(lab), atol=2e-3)


@pytest.mark.parametrize("color", ["RGB", "Y", "none"])
def test_other_outputs_are_judged_as_they_are(color):
    output = np.random.default_rng(0).random((4, 5, 3), dtype=np.float32)
    assert displayed(network(color=color), output) is output
