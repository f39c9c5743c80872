"""Tests that INT8 preparation leaves alone every value of a program that is no feature."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeexpo.program.capture import capture
from edgeexpo.program.values import channels_of, is_single, tensor_of, tensors_of
from edgeexpo.quantization.equalization import equalize, find_groups
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.spec import TensorSpec
from tests.support.other_values import OTHER_VALUES, Masks, SizeOfSkip
from tests.support.pictures import smooth_picture

SPECS = ((TensorSpec("x"),), (TensorSpec("y"),))


def captured(kind):
    torch.manual_seed(0)
    network = kind().eval()
    return network, capture(network, *SPECS, (48, 48), 2)


def drawn(height, width, seed):
    picture = smooth_picture(height, width, seed)
    return {"x": picture}, torch.from_numpy(picture.transpose(2, 0, 1)[None].copy())


@pytest.mark.parametrize("kind", OTHER_VALUES)
def test_equalisation_leaves_the_pictures_as_they_are(kind):
    network, program = captured(kind)
    size = (32, 40) if program.dynamic else program.sizes.largest
    equal = equalize(program, [(drawn(*size, 0)[1],)]).exported.module()
    _, x = drawn(*program.sizes.largest, 1)
    with torch.no_grad():
        torch.testing.assert_close(equal(x), network(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", OTHER_VALUES)
def test_the_int8_program_is_near_the_network(kind):
    network, program = captured(kind)
    quantized = quantize_program(program, [drawn(48, 48, seed)[0] for seed in range(3)])
    x = drawn(*program.sizes.largest, 1)[1]
    with torch.no_grad():
        error = (quantized.exported.module()(x) - network(x)).square().mean()
    assert -10 * np.log10(float(error)) > 35


def test_asking_for_a_size_does_not_keep_channels_from_being_equalised():
    _, program = captured(SizeOfSkip)
    names = {name for b in find_groups(program.exported.module()) for name, _ in b.axes}
    assert {"first.weight", "down.weight", "up.weight"} <= names


def test_a_value_is_described_by_shape_and_type():
    _, program = captured(Masks)
    mask = next(n for n in program.exported.graph.nodes if "and" in str(n.target))
    assert tensor_of(mask).dtype == torch.bool
    assert channels_of(tensor_of(mask)) == 8
    assert not is_single(mask)
    _, program = captured(SizeOfSkip)
    sizes = [n for n in program.exported.graph.nodes if "sym_size" in str(n.target)]
    assert sizes
    assert tensor_of(sizes[0]) is None
    assert tensors_of(sizes[0]) == []
    assert channels_of(torch.zeros(8)) is None
