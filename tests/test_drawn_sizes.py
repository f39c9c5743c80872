from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.drawn_sizes import draw_size


@given(st.integers(0, 99), st.sampled_from([1, 2, 4, 16]), st.integers(1, 9), st.integers(9, 40))
def test_a_drawn_size_keeps_its_bounds_and_its_multiple(seed, multiple, low, high):
    smallest, largest = (low * multiple, 2 * multiple), (high * multiple, 2 * multiple)
    size = draw_size(np.random.default_rng(seed), smallest, largest, 20 * multiple, multiple)
    assert all(side % multiple == 0 for side in size)
    assert smallest[0] <= size[0] <= min(largest[0], 20 * multiple)
    assert size[1] == 2 * multiple
