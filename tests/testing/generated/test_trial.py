"""Trials of modules drawn at random: right, refused with the line and the way out, or a bug."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.errors import ExportError, InternalError, ModuleError
from edgeexpo.testing.generated import trial
from edgeexpo.testing.generated.module import draw_module
from edgeexpo.testing.generated.trial import BUG, FAILED, REFUSED, RIGHT, try_module

SEEDS = (0, 1)
"""Seeds of the modules that are tried; ``benchmarks/generated_modules.py`` tries others."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_drawn_module_is_right_or_refused_with_the_way_out(seed, tmp_path):
    drawn = draw_module(seed)
    bugs = [o for o in try_module(drawn, tmp_path) if o.outcome == BUG]
    assert not bugs, f"seed {drawn.seed}, source {tmp_path}: {bugs}"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ModuleError("forward takes *x (net.py:3); wrap the module"), REFUSED),
        (ExportError("torch.foo at net.py:3 is unknown; use torch.bar"), REFUSED),
        (ExportError("torch.foo is unknown; use torch.bar"), BUG),
        (ExportError("torch.foo at net.py:3\nis unknown"), BUG),
        (ExportError("lowering to onnx failed: KeyError: 1 (net.py:3); report this"), BUG),
        (InternalError("a failure at net.py:3"), BUG),
        (KeyError("x"), BUG),
    ],
)
def test_only_one_line_with_the_users_line_is_a_refusal(error, outcome, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(trial, "export_bundle", refuse)
    found = try_module(draw_module(0), tmp_path, ["onnx"])
    assert [(o.target, o.precision, o.outcome) for o in found] == [
        ("onnx", "fp32", outcome),
        ("onnx", "int8", outcome),
    ]


class Artifact:
    target, precision = "onnx", "int8"

    def __init__(self, error):
        self.status, self.error = "failed", error


def test_int8_that_the_network_does_not_bear_is_no_bug_but_damage_of_lowering_is():
    judged = [
        trial._judged(None, Artifact(words), [])[0]
        for words in ("psnr>=40, found 31", "psnr>=-2 against the quantized program, found -9")
    ]
    assert judged == [FAILED, BUG]


def test_pictures_are_bounded_by_the_precision_and_by_the_rounding_of_torch():
    picture = trial.Picture(np.zeros((8, 8, 3)), np.zeros((8, 8, 3), np.float32), 1e-3)
    near, far = np.full((8, 8, 3), 0.02, np.float32), np.full((8, 8, 3), 0.04, np.float32)
    assert trial._difference(near, picture, "fp32") == ""
    assert trial._difference(far, picture, "fp32") == "0.04"
    assert trial._difference(near, picture, "int8") == ""
    assert trial._difference(far, picture, "int8") == "28.0 dB"
    assert trial._difference(near[:4], picture, "int8") == "(4, 8, 3), (8, 8, 3)"


def test_random_sizes_begin_with_the_exported_one_and_hold_some_on_the_grid():
    sizes = trial.random_sizes(np.random.default_rng(0), 40)
    assert sizes[0] == (40, 40)
    assert all(20 <= side < 80 for size in sizes[1:3] for side in size)
    assert all(side % trial.GRID == 0 for size in sizes[3:] for side in size)


@pytest.mark.slow
def test_a_plain_module_is_right_for_onnx(tmp_path):
    found = try_module(draw_module(0), tmp_path, ["onnx"])
    assert [(o.precision, o.outcome) for o in found] == [("fp32", RIGHT), ("int8", RIGHT)]
