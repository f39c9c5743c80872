"""Recipe and objective of a user's network, which imitates itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from edgeexpo.errors import UsageError
from edgeexpo.imaging.samples import Sample
from edgeexpo.program.capture import size_range
from edgeexpo.runtime.network_pictures import network_inputs, planar
from edgeexpo.spec import ModelSpec, SizeRange, StageSpec, TensorSpec
from edgeexpo.training.objectives import Helpers, imitation
from edgeexpo.training.own_network import own_objective, own_recipe, training_size

PICTURE = TensorSpec("output")


def spec(channels=(3,), halo=2, output=PICTURE) -> ModelSpec:
    inputs = tuple(TensorSpec(f"in{i}", channels=n) for i, n in enumerate(channels))
    front = None if set(channels) == {3} else StageSpec("channels", {"channels": list(channels)})
    names = tuple(t.name for t in inputs)
    return ModelSpec("net", "test", names, inputs, (output,), halo=halo, front=front)


FIXED = SizeRange((96, 128), (96, 128))


@pytest.mark.parametrize(
    ("halo", "sizes", "whole", "crop", "expected"),
    [
        (2, size_range((512, 512), 8), (256, 256), None, (128, 128)),
        (2, size_range((48, 512), 1), (48, 256), None, (48, 128)),
        (2, size_range((512, 512), 8), (256, 256), 64, (64, 64)),
        (None, size_range((512, 512), 8), (256, 192), None, (256, 192)),
        (None, size_range((512, 512), 8), (256, 256), 64, (64, 64)),
        (2, FIXED, (96, 128), None, (96, 128)),
        (None, FIXED, (96, 128), None, (96, 128)),
    ],
)
def test_networks_train_on_crops_whole_pictures_or_their_only_size(
    halo, sizes, whole, crop, expected
):
    assert training_size(spec(halo=halo), sizes, whole, crop) == expected


@pytest.mark.parametrize(
    ("sizes", "crop", "message"),
    [
        (FIXED, 64, "net takes pictures of 96x128 only: leave it out"),
        (size_range((512, 512), 8), 60, "crops of 16 to 96 pixels, in multiples of 8"),
        (size_range((512, 512), 1), 8, "`crop` is 8; net trains on crops of 16 to 96 pixels"),
        (size_range((512, 512), 1), 400, "`crop` is 400; net trains on crops of 16 to 96 pixels"),
    ],
)
def test_a_crop_that_the_network_does_not_take_is_refused(sizes, crop, message):
    with pytest.raises(UsageError, match=message):
        training_size(spec(), sizes, (96, 128), crop)


def test_large_pictures_make_small_batches():
    batches = [own_recipe(spec(), (side, side), 1, 1e-3).batch for side in (64, 128, 256, 512)]
    assert batches == [8, 8, 2, 1]


@pytest.mark.parametrize("channels", [(3,), (3, 3), (1,), (4,), (1, 3)])
def test_inputs_are_those_of_the_runtime(channels):
    own, size = spec(channels), (16, 24)
    side = own_recipe(own, size, 1, 1e-3).crop
    rng = np.random.default_rng(0)
    frames = [rng.random((side, side, 3), dtype=np.float32) for _ in channels]
    tensors = [torch.from_numpy(frame).permute(2, 0, 1)[None] for frame in frames]
    batch = {f"frame{i}": torch.cat([t, t.flip(3)]) for i, t in enumerate(tensors)}
    found = own_objective(own, size).inputs(batch)
    height, width = own.frame_size(size)
    cut = Sample("", tuple(frame[:height, :width] for frame in frames), None)
    (expected,) = network_inputs(own, [cut])
    for tensor, wanted in zip(found, planar(expected).values(), strict=True):
        assert tensor.shape == (2, wanted.shape[1], *size)
        np.testing.assert_array_equal(tensor[:1].numpy(), wanted)


class Shift(torch.nn.Module):
    def __init__(self, scale, offset):
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, picture):
        return self.scale * (picture + self.offset)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("side", [8, 32])
def test_the_loss_does_not_depend_on_the_range_of_the_output(channels, side):
    losses = []
    for high in (1.0, 255.0):
        output = TensorSpec("output", channels, color={1: "Y", 3: "RGB"}.get(channels, "none"))
        own = spec(output=dataclasses.replace(output, value_range=(0.0, high)))
        teacher, student = Shift(high, 0.0), Shift(high, 0.1)
        objective = imitation(own_objective(own, (side, side)), teacher, exact=True)
        torch.manual_seed(0)
        batch = {"frame0": torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))}
        losses.append(float(objective.loss(student, batch, Helpers())))
    assert losses[0] > 1
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
