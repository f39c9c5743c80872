import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import PictureError
from edgeexpo.imaging.bt2100 import bt709_to_bt2020
from edgeexpo.imaging.hdr import encode_hdr, read_hdr


def write(path, radiance):
    assert cv2.imwrite(str(path), radiance[..., ::-1])


@pytest.mark.parametrize("size", [(3, 9), (20, 64), (7, 200)])
def test_agrees_with_opencv(tmp_path, size):
    rng = np.random.default_rng(0)
    radiance = np.exp(rng.normal(0, 3, (*size, 3))).astype(np.float32)
    radiance[:, : size[1] // 2] = 0.25
    radiance[0, 0] = 0
    path = tmp_path / "a.hdr"
    write(path, radiance)
    ours, oracle = read_hdr(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1]
    # OpenCV decodes a mantissa to the lower end of its interval. Ward's own code decodes it to the
    # middle.
    step = ours.max(axis=2, keepdims=True) / 128
    assert (np.abs(ours - oracle) <= step).all()
    assert (ours[0, 0] == 0).all()
    assert (np.abs(ours - radiance) <= step).all()


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "a.hdr"
    write(path, np.random.default_rng(0).random((16, 32, 3), dtype=np.float32))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(PictureError, match="truncated"):
        read_hdr(path)
    path.write_bytes(b"not a picture")
    with pytest.raises(PictureError, match="Radiance"):
        read_hdr(path)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 5),
    width=st.integers(1, 300),
    spread=st.floats(0, 12),
    seed=st.integers(0, 2**16),
)
def test_what_is_encoded_is_what_opencv_reads(height, width, spread, seed):
    rng = np.random.default_rng(seed)
    radiance = np.exp(rng.normal(0, spread, (height, width, 3))).astype(np.float32)
    radiance[rng.random((height, width)) < 0.1] = 0
    data = np.frombuffer(encode_hdr(radiance), np.uint8)
    read = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)[..., ::-1]
    step = radiance.max(axis=2, keepdims=True) / 128
    assert read.shape == radiance.shape
    assert (np.abs(read - radiance) <= step).all()


def test_ours_reads_what_ours_writes(tmp_path):
    radiance = np.linspace(0, 900, 20 * 130 * 3, dtype=np.float32).reshape(20, 130, 3)
    path = tmp_path / "a.hdr"
    path.write_bytes(encode_hdr(radiance))
    np.testing.assert_allclose(read_hdr(path), radiance, rtol=1 / 128, atol=1e-3)


def stated(path, radiance, *lines):
    """Write a file whose header has more lines."""
    first, rest = encode_hdr(radiance).split(b"\n", 1)
    path.write_bytes(b"\n".join([first, *(line.encode() for line in lines), rest]))
    return path


RADIANCE = np.random.default_rng(0).uniform(0.1, 9, (6, 12, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("lines", "factor"),
    [
        (["EXPOSURE=4"], 4),
        (["EXPOSURE= 0.5", "EXPOSURE=3e1"], 15),
        (["COLORCORR=1 2 4"], (1, 2, 4)),
        (["COLORCORR=1 2 4", "EXPOSURE=2", "SOFTWARE=EXPOSURE=9"], (2, 4, 8)),
        (["GAMMA=1", "PRIMARIES=0 0 0 0 0 0 0 0", "VIEW= -vtv"], 1),
        (["PRIMARIES=.64 .33 .29 .6 .15 .06 .3333 .3333"], 1),
        (["PRIMARIES=.64 .33 .3 .6 .15 .06 .3127 .329"], 1),
    ],
)
def test_exposures_and_corrections_of_the_header_are_undone(tmp_path, lines, factor):
    found = read_hdr(stated(tmp_path / "a.hdr", RADIANCE * np.float32(factor), *lines))
    np.testing.assert_allclose(found * factor, RADIANCE * factor, atol=0.3 * np.max(factor))
    assert np.median(found / RADIANCE) == pytest.approx(1, abs=0.01)


def test_primaries_of_the_header_are_converted(tmp_path):
    line = "PRIMARIES=.708 .292 .17 .797 .131 .046 .3127 .329"
    wide = np.maximum(bt709_to_bt2020(RADIANCE), 0)
    found = read_hdr(stated(tmp_path / "a.hdr", wide, line))
    assert np.abs(found - RADIANCE).max() < 0.2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("FORMAT=32-bit_rle_xyze", "expected 32-bit_rle_rgbe: save it as RGB"),
        ("EXPOSURE=0", "EXPOSURE=0; expected numbers above 0"),
        ("EXPOSURE=nan", "expected numbers above 0"),
        ("EXPOSURE=bright", "expected 1 numbers"),
        ("COLORCORR=1 2", "expected 3 numbers"),
        ("PRIMARIES=1 0 0 0 0 0 0 0", "a primary has no luminance"),
        ("PRIMARIES=.3 .3 .3 .3 .3 .3 .3 .3", "lie on a line"),
    ],
)
def test_a_header_that_cannot_be_followed_is_refused(tmp_path, line, words):
    with pytest.raises(PictureError, match=words):
        read_hdr(stated(tmp_path / "a.hdr", RADIANCE, line))


@pytest.mark.parametrize(
    "size", ["-Y 999999999 +X 99999999", "-Y x +X y", "-Y -6 +X 12", "+Y 6 +X 12"]
)
def test_an_impossible_size_is_refused(tmp_path, size):
    path = tmp_path / "a.hdr"
    path.write_bytes(encode_hdr(RADIANCE).replace(b"-Y 6 +X 12", size.encode()))
    with pytest.raises(PictureError, match=r"Radiance|truncated"):
        read_hdr(path)
