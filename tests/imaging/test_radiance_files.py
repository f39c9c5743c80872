"""Tests of reading and writing radiance files by suffix."""

import numpy as np
import pytest

from edgeexpo.errors import OutputError, PictureError
from edgeexpo.imaging.radiance import read_radiance, write_radiance


def radiance():
    return np.linspace(0, 40, 9 * 12 * 3, dtype=np.float32).reshape(9, 12, 3)


@pytest.mark.parametrize(("suffix", "tolerance"), [(".hdr", 1 / 128), (".EXR", 0)])
def test_what_was_written_is_read(tmp_path, suffix, tolerance):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"an older file")
    write_radiance(path, radiance())
    np.testing.assert_allclose(read_radiance(path), radiance(), rtol=tolerance, atol=0.01)


@pytest.mark.parametrize(
    ("name", "picture", "message"),
    [
        ("a.png", radiance(), "'.png'; expected .hdr or .exr"),
        ("a", radiance(), "'of no format'"),
        ("a.hdr", radiance()[..., 0], "found 9x12; expected HxWx3"),
        ("a.hdr", -radiance(), "negative"),
        ("a.exr", radiance() + np.inf, "NaN, infinite"),
    ],
)
def test_what_is_no_radiance_is_refused(tmp_path, name, picture, message):
    with pytest.raises(PictureError, match=message):
        write_radiance(tmp_path / name, picture)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(OutputError, match=r"no/a\.exr"):
        write_radiance(tmp_path / "no" / "a.exr", radiance())
