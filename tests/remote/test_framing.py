"""Messages between two machines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from edgeexpo.remote.framing import array_parts, arrays_of, framed, parsed
from edgeexpo.runtime.engines.shared_arrays import checked_layout

ARRAYS = st.dictionaries(
    st.text(max_size=5),
    stn.arrays(np.float32, stn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)),
    max_size=3,
)


@given(ARRAYS)
def test_arrays_arrive_as_they_were_sent(arrays):
    layout, parts = array_parts(arrays)
    line, *payload = framed({"verb": "run", "layout": layout}, parts)
    message, size = parsed(line)
    data = b"".join(payload)
    assert len(data) == size
    found = arrays_of(message["layout"], data, checked_layout)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_arrays_of_other_layouts_in_memory_are_sent_in_order():
    turned = np.arange(6, dtype=np.float64).reshape(2, 3).T
    layout, parts = array_parts({"x": turned})
    found = arrays_of(json_like(layout), b"".join(parts), checked_layout)
    np.testing.assert_array_equal(found["x"], turned.astype(np.float32))


def json_like(layout):
    return [[name, list(shape)] for name, shape in layout]


@pytest.mark.parametrize(
    "line", [b"[]", b"nonsense", b'{"bytes": -1}', b'{"bytes": "1"}', b'{"bytes": 1e3}', b"\xff"]
)
def test_other_lines_are_refused(line):
    with pytest.raises(ValueError, match=r"message|Expecting|decode"):
        parsed(line)


@pytest.mark.parametrize("cut", [1, 4])
def test_a_shorter_payload_is_refused(cut):
    layout, parts = array_parts({"x": np.zeros((2, 3), np.float32)})
    with pytest.raises(ValueError, match="size of its layout"):
        arrays_of(json_like(layout), b"".join(parts)[:-cut], checked_layout)
