"""Arrays in memory that two processes share."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgeexpo.runtime.engines.shared_arrays import SharedArrays, checked_layout


@given(
    st.dictionaries(
        st.text(max_size=5),
        arrays.arrays(
            np.float32,
            arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
            elements=st.floats(width=32),
        ),
        max_size=4,
    )
)
def test_arrays_go_there_and_back(values):
    ours = SharedArrays()
    theirs = SharedArrays(os.dup(ours.descriptor))
    layout = checked_layout(json.loads(json.dumps(ours.write(values))))
    found = theirs.views(layout)
    assert list(found) == list(values)
    for name, value in values.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].shape == value.shape
    del found
    ours.close()
    theirs.close()


def test_shared_memory_grows_and_cannot_be_taken_away():
    ours = SharedArrays()
    theirs = SharedArrays(os.dup(ours.descriptor))
    for side in (2, 400, 3):
        picture = {"p": np.arange(side * side, dtype=np.float32).reshape(side, side)}
        np.testing.assert_array_equal(theirs.views(ours.write(picture))["p"], picture["p"])
    with pytest.raises(PermissionError):
        os.ftruncate(theirs.descriptor, 10)
    with pytest.raises(ValueError, match="size"):
        theirs.views([("p", (10**6, 10**6))])
    ours.close()
    theirs.close()


def test_strided_and_swapped_arrays_are_written_as_they_look():
    ours = SharedArrays()
    picture = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for seen in (picture[:, ::-1], picture.T, picture.astype(">f4"), picture.astype(np.float64)):
        np.testing.assert_array_equal(ours.views(ours.write({"p": seen}))["p"], seen)
    ours.close()
