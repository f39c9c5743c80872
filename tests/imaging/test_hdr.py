import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import PictureError
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
