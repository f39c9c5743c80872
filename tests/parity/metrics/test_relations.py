from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from edgeexpo.parity.metrics import relations as module
from edgeexpo.parity.probes import EQUAL, MOVING, bracket_probes, probes
from edgeexpo.runtime.tiling import plan_tiles
from edgeexpo.spec import ModelSpec, SizeRange, TensorSpec

STEP = 1 / 255
SPEC = ModelSpec("net", "t", ("a", "b"), (TensorSpec("a"), TensorSpec("b")), (TensorSpec("y"),), 8)


def frames(name):
    return next(s.frames for s in bracket_probes(2, 64) if s.name == name)


def test_frames_in_the_other_order_are_recognised():
    dark, bright = frames(MOVING)
    own, other = 0.8 * dark + 0.2 * bright, 0.2 * dark + 0.8 * bright
    noise = STEP * np.random.default_rng(0).standard_normal(dark.shape)
    assert module.frame_order(own, other, own + noise) == 0
    assert module.frame_order(own, other, other + noise) == 1
    assert module.frame_order(own, own, own + noise) == 0


def test_symmetry_counts_where_the_reference_has_it():
    picture = frames(EQUAL)[0]
    other = picture + 4 * STEP
    assert module.asymmetry([picture, picture], [picture, other]) == pytest.approx(4, rel=1e-3)
    assert module.asymmetry([picture, other], [picture, picture]) == 0
    assert module.asymmetry([picture, other], [picture, picture + 40 * STEP]) == 0


def test_equal_frames_come_back_as_far_as_the_reference_gives_them():
    frame = frames(EQUAL)[0]
    reference = frame + 2 * STEP
    assert module.equal_frames(frame, reference, frame + 5 * STEP) == pytest.approx(3, rel=1e-3)
    assert module.equal_frames(frame, reference, frame) == 0


def test_only_errors_that_leave_the_scene_flicker():
    pan = [s.frames[0] for s in probes(1, 64) if s.name.startswith("pan")]
    assert len(pan) == 3
    with_scene = [p + 0.1 * (p - 0.5) for p in pan]
    assert module.flicker(pan, with_scene, 8) < 0.01
    brighter = [p + i * 2 * STEP for i, p in enumerate(pan)]
    assert module.flicker(pan, brighter, 8) == pytest.approx(2, rel=1e-3)
    random = np.random.default_rng(0)
    noisy = [p + STEP * random.standard_normal(p.shape) for p in pan]
    assert module.flicker(pan, noisy, 8) < 0.3


def test_a_seam_is_a_jump_of_the_error_at_the_border():
    reference = frames(EQUAL)[0]
    noise = STEP * np.random.default_rng(0).standard_normal(reference.shape)
    assert module.seam(reference, reference + noise, [32], [16, 48]) < 0.5
    broken = reference + noise
    broken[:, 48:] += 4 * STEP
    assert module.seam(reference, broken, [32], [16, 48]) > 2
    assert module.seam(reference, broken, [32], [16]) < 0.5


def test_borders_are_those_of_the_plan():
    sizes = SizeRange((64, 64), (16, 16))
    rows, columns = module.tile_borders((80, 150, 3), SPEC, sizes)
    kept = plan_tiles(80, 150, SPEC.footprint, sizes)
    assert {0, *rows} == {t.rows.keep_start for t in kept}
    assert {0, *columns} == {t.columns.keep_start for t in kept}
    assert module.tile_borders((64, 64, 3), SPEC, sizes) == ([], [])


@pytest.mark.parametrize("scale", [4, Fraction(1, 2)])
def test_borders_of_an_enlarged_output_are_those_of_its_picture(scale):
    outputs = (TensorSpec("y", scale=float(scale)),)
    spec = dataclasses.replace(SPEC, outputs=outputs, multiple=2)
    sizes = SizeRange((64, 64), (16, 16), 2)
    rows, columns = module.tile_borders((int(80 * scale), int(150 * scale), 3), spec, sizes)
    kept = plan_tiles(80, 150, spec.footprint, sizes)
    assert {0, *rows} == {int(t.rows.keep_start * scale) for t in kept}
    assert {0, *columns} == {int(t.columns.keep_start * scale) for t in kept}
