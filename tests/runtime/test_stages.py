from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.errors import BundleError
from edgeexpo.runtime.stages import back, front
from edgeexpo.spec import ModelSpec, StageSpec, TensorSpec


def spec(front_stage=None, back_stage=None, inputs=("under", "over")):
    return ModelSpec(
        name="m",
        task="t",
        frames=("under", "over"),
        inputs=tuple(TensorSpec(n) for n in inputs),
        outputs=(TensorSpec("out"),),
        halo=1,
        front=front_stage,
        back=back_stage,
    )


def frames():
    return [np.full((20, 30, 3), v, np.float32) for v in (0.2, 0.7)]


def test_without_stages_frames_are_inputs_and_the_output_is_the_picture():
    under, over = frames()
    assert front(spec(), (under, over), None) == {"under": under, "over": over}
    assert back(spec(), over, (under, over)) is over


def test_the_intermediate_exposure_lies_between_the_frames():
    stage = StageSpec("intermediate", {"response": "srgb"})
    (y0,) = front(spec(front_stage=stage, inputs=("y0",)), frames(), 4.0).values()
    assert y0.shape == (20, 30, 3)
    assert 0.2 < y0.mean() < 0.7


def test_fusion_happens_unless_it_is_declined():
    model = spec(back_stage=StageSpec("exposure-fusion"))
    output = np.full((20, 30, 3), 0.5, np.float32)
    fused = back(model, output, frames())
    assert 0.2 <= fused.min() <= fused.max() <= 0.7
    assert back(model, output, frames(), fuse=False) is output


def test_an_unknown_stage_is_refused():
    with pytest.raises(BundleError, match="needs the stage 'magic'"):
        front(spec(front_stage=StageSpec("magic")), frames(), None)
