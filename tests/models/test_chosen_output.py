"""Tests of networks with several outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch

from edgeexpo.errors import UsageError
from edgeexpo.models.chosen_output import choose_output
from tests.support.networks import Operation

PICTURE = (torch.full((1, 3, 8, 8), 0.5),)


class Pair(NamedTuple):
    small: torch.Tensor
    full: torch.Tensor


@dataclass
class Record:
    picture: torch.Tensor
    curve: torch.Tensor


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda x: (x * 3, x * 2), "1"),
        (lambda x: [x * 3, [x, x * 2]], "1.1"),
        (lambda x: {"aux": x, "out": x * 2}, "out"),
        (lambda x: {"scales": [x * 2, x]}, "scales.0"),
        (lambda x: Pair(x, x * 2), "full"),
        (lambda x: (x * 2, None, x.mean()), None),
        (lambda x: Record(x * 2, x.mean((2, 3))), None),
        (lambda x: (x * 2,), None),
        (lambda x: x * 2, None),
    ],
)
def test_one_output_is_returned(make, name):
    network = Operation(make)
    given = choose_output(network, PICTURE, name)
    assert torch.equal(given, PICTURE[0] * 2)
    assert torch.equal(network(*PICTURE), PICTURE[0] * 2)


def test_what_is_taken_and_what_is_not_is_said(capsys):
    choose_output(Operation(lambda x: {"out": x, "gain": x.mean((2, 3))}), PICTURE, None)
    assert capsys.readouterr().err == (
        "edgeexpo: of the outputs out (1x3x8x8), gain (1x3), out is taken; the rest is not\n"
    )


@pytest.mark.parametrize(
    ("make", "name", "words"),
    [
        (lambda x: (x, x), None, r"returns 0 \(1x3x8x8\), 1 \(1x3x8x8\); choose the picture with"),
        (lambda x: {"picture": x, "b": x}, "pictures", "did you mean 'picture'"),
        (lambda x: (x, x), "2", "no output '2'"),
        (lambda x: x, "0", "returns one output; leave"),
        (lambda x: (x.mean(), x.mean()), None, "choose the picture"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(make, name, words):
    with pytest.raises(UsageError, match=words):
        choose_output(Operation(make), PICTURE, name)
