import pytest
import torch

from edgeexpo.models import lrl
from edgeexpo.training.widening import widened


@pytest.mark.parametrize("preset", ["lrl-mobile", "lrl-8"])
def test_widened_network_computes_the_same(preset):
    small = lrl.build(preset)
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.05)
    large = lrl.build("lrl-8")
    from_a_file = dict(sorted(small.state_dict().items()))
    large.load_state_dict(dict(widened("lrl-8", from_a_file)))
    picture = torch.rand(1, 3, 24, 24)
    torch.testing.assert_close(
        large.correction(picture), small.correction(picture), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("preset", ["twophase-mobile", "exponet-mobile"])
def test_other_systems_start_as_given(preset):
    state = {"any": torch.zeros(1)}
    assert widened(preset, state) is state
