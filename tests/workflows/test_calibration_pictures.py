"""Choice of the pictures from which calibration takes ranges."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.errors import UsageError
from edgeexpo.imaging.samples import Sample
from edgeexpo.workflows.calibration_pictures import representative


def picture(name, level, spread=0.05, seed=0):
    noise = np.random.default_rng(seed).normal(0, spread, (16, 16, 3))
    frame = np.clip(level + noise, 0, 1).astype(np.float32)
    return Sample(name, (frame,), None)


def test_the_ends_and_the_rare_tones_are_chosen():
    common = [picture(f"grey{i:02}", 0.5, seed=i) for i in range(30)]
    rare = [picture("black", 0.0), picture("blown", 1.0), picture("dim", 0.2), picture("sky", 0.8)]
    chosen = {sample.name for sample in representative([*common, *rare], most=6)}
    assert chosen >= {"black", "blown", "dim", "sky"}
    assert len(chosen) == 6


def test_the_choice_does_not_depend_on_the_order():
    many = [picture(f"p{i:02}", i / 40, seed=i) for i in range(40)]
    names = [s.name for s in representative(many, most=8)]
    assert names == [s.name for s in representative(many[::-1], most=8)]
    assert names == sorted(names)


def test_few_are_all_taken():
    few = [picture("b", 0.2), picture("a", 0.7)]
    assert [s.name for s in representative(few)] == ["a", "b"]


def test_flat_pictures_alone_are_refused():
    with pytest.raises(UsageError, match="all 2 calibration pictures are a flat colour"):
        representative([picture("a", 0.5, spread=0), picture("b", 0.7, spread=0)])
