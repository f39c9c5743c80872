"""The benchmark of the stages: its frames, and what it compares."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.benchmarks import benchmark


@pytest.fixture(scope="module")
def script():
    return benchmark("stages")


@pytest.mark.parametrize(("layout", "shape"), [("rgb", (34, 50, 3)), ("nv12", (51, 50))])
def test_frames_are_two_exposures_of_one_scene(script, layout, shape) -> None:
    under, over = script["shots"](34, 50, layout)
    assert under.shape == over.shape == shape
    assert over.mean() > under.mean() + 10
    again = script["shots"](34, 50, layout)
    np.testing.assert_array_equal(again[0], under)


def test_each_figure_is_the_least_of_its_own(script) -> None:
    rows = [{"whole": 3.0, "stages": 1.0}, {"whole": 2.0, "stages": 1.5}]
    assert script["least"](rows) == {"whole": 2.0, "stages": 1.0}


def test_a_tree_is_unpacked_once(script, tmp_path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    assert script["unpack"]("no such commit", folder) == folder
