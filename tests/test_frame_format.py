from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.errors import UsageError
from edgeexpo.frame_format import LAYOUTS, MATRICES, SITINGS, FrameFormat, parse_frame_format
from edgeexpo.spec import from_json, to_json


@given(
    st.sampled_from(LAYOUTS),
    st.sampled_from(sorted(MATRICES)),
    st.booleans(),
    st.sampled_from(sorted(SITINGS)),
    st.sampled_from([0, 90, 180, 270]),
    st.booleans(),
    st.randoms(),
)
def test_words_in_any_order_make_a_format(layout, matrix, full, siting, rotation, mirror, random):
    words = [layout, matrix, "full" if full else "limited", siting, f"rotate{rotation}"]
    words += ["mirror"] if mirror else []
    random.shuffle(words)
    expected = FrameFormat(layout, matrix, full, siting, rotation, mirror)
    assert parse_frame_format(", ".join(words)) == expected
    assert from_json(FrameFormat, to_json(expected)) == expected
    assert str(parse_frame_format(str(expected))) == str(expected)
    assert parse_frame_format(str(expected)) == expected or not expected.is_yuv


def test_a_peak_comes_with_its_transfer():
    assert parse_frame_format("p010,bt2020,pq600").peak_nits == 600
    assert parse_frame_format("p010,bt2020,pq").peak_nits == 1000
    assert parse_frame_format("rgb,hlg").is_hdr
    assert str(parse_frame_format("pq600,bt2020,p010")) == "p010,bt2020,limited,left,pq600"
    assert str(FrameFormat()) == "rgb"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nv13", "'nv13' is not part of a frame format; expected words of rgb, bgr"),
        ("nv12,i420", "gives its layout twice"),
        ("nv12,rotate45", "rotation of a frame is 45; expected 0, 90, 180, 270"),
        ("nv12,pq", "pq in nv12 with bt709; expected p010 with bt2020"),
        ("p010,hlg", "hlg in p010 with bt709; expected p010 with bt2020"),
        ("rgb,pq0", "peak_nits is 0.0; expected above 0"),
        ("", "'' is not part"),
    ],
)
def test_what_is_no_format_is_said(text, words):
    with pytest.raises(UsageError, match=words):
        parse_frame_format(text)
