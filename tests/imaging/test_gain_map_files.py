"""Tests of finding the gain map of a file that another program wrote."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edgeexpo.imaging.gain_map_files import find_gain_map
from edgeexpo.imaging.gain_maps import encode_gain_map
from edgeexpo.imaging.jpeg_segments import APP1, XMP, joined, with_segments

OURS = encode_gain_map(np.full((8, 8, 3), 99, np.uint8), np.ones((8, 8, 3), np.float32))


def plain():
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "JPEG")
    return stream.getvalue()


def brands(*names):
    body = b"ftyp" + b"heic" + bytes(4) + b"".join(names)
    return struct.pack(">I", 4 + len(body)) + body


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (plain(), None),
        (joined(plain(), [], plain()), None),
        (b"", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (OURS, "ISO 21496-1 version 0"),
        (
            joined(
                plain(),
                [],
                with_segments(
                    plain(),
                    [(APP1, XMP + b"xmlns:a='http://ns.apple.com/HDRGainMap/1.0/'")],
                ),
            ),
            "Apple",
        ),
        (brands(b"mif1", b"heic"), None),
        (brands(b"mif1", b"tmap"), "ISO 21496-1"),
        (brands(b"mif1") + b"urn:com:apple:photo:2020:aux:hdrgainmap\0", "Apple"),
    ],
)
def test_the_form_of_a_gain_map_is_found(data, words):
    found = find_gain_map(data)
    assert (None if found is None else str(found)) == words


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(OURS) - 1), code=st.integers(0, 255), end=st.integers(0, len(OURS)))
def test_damaged_files_raise_nothing(at, code, end):
    data = bytearray(OURS)
    data[at] = code
    find_gain_map(bytes(data[:end]))
