"""Tests of reading OpenEXR files: files that the OpenEXR package writes, and damaged files."""

from __future__ import annotations

import sys

import numpy as np
import OpenEXR
import pytest

from edgeexpo.errors import MissingDependencyError, PictureError
from edgeexpo.imaging.bt2100 import bt709_to_bt2020
from edgeexpo.imaging.exr import read_exr


def radiance() -> np.ndarray:
    rows, columns = np.mgrid[0:40, 0:30] / 40
    planes = [np.exp(4 * rows), 1 + columns, 0.01 + rows * columns]
    return np.stack(planes, axis=2).astype(np.float32)


def write(path, channels, compression="ZIP_COMPRESSION"):
    header = {"compression": getattr(OpenEXR, compression), "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(str(path))
    return path


@pytest.mark.parametrize(
    ("compression", "tolerance"),
    [
        ("NO_COMPRESSION", 0),
        ("ZIP_COMPRESSION", 0),
        ("PIZ_COMPRESSION", 0),
        ("DWAA_COMPRESSION", 0.02),
        ("DWAB_COMPRESSION", 0.02),
    ],
)
def test_what_was_written_is_read(tmp_path, compression, tolerance):
    read = read_exr(write(tmp_path / "a.exr", {"RGB": radiance()}, compression))
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, radiance(), rtol=tolerance, atol=tolerance)


def test_half_floats_alpha_and_grey(tmp_path):
    half = radiance().astype(np.float16)
    alpha = np.ones((40, 30, 1), np.float16)
    rgba = write(tmp_path / "a.exr", {"RGBA": np.concatenate([half, alpha], axis=2)})
    np.testing.assert_array_equal(read_exr(rgba), half.astype(np.float32))
    grey = read_exr(write(tmp_path / "y.exr", {"Y": radiance()[..., 0].copy()}))
    np.testing.assert_array_equal(grey, np.repeat(radiance()[..., :1], 3, axis=2))


def test_other_channels_are_named(tmp_path):
    path = write(tmp_path / "z.exr", {"Z": radiance()[..., 0].copy()})
    with pytest.raises(PictureError, match="channels Z; expected R, G and B"):
        read_exr(path)


def test_values_that_are_not_finite_are_refused(tmp_path):
    picture = radiance()
    picture[3, 4, 1] = np.inf
    with pytest.raises(PictureError, match="infinite"):
        read_exr(write(tmp_path / "a.exr", {"RGB": picture}))


@pytest.mark.parametrize("kept", [0, 20, 0.5, 0.95])
@pytest.mark.parametrize("compression", ["ZIP_COMPRESSION", "DWAB_COMPRESSION"])
def test_truncated_files_are_refused(tmp_path, kept, compression):
    path = write(tmp_path / "a.exr", {"RGB": radiance()}, compression)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(PictureError, match="not a readable OpenEXR picture"):
        read_exr(path)


def test_a_missing_file_and_a_missing_package_are_named(tmp_path, monkeypatch):
    with pytest.raises(PictureError, match="does not exist"):
        read_exr(tmp_path / "none.exr")
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(MissingDependencyError, match=r"edgeexpo\[camera\]"):
        read_exr(tmp_path / "none.exr")


BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
BT2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)


@pytest.mark.parametrize(("stated", "change"), [(BT709, np.asarray), (BT2020, bt709_to_bt2020)])
def test_chromaticities_are_converted_to_bt709(tmp_path, stated, change):
    header = {"type": OpenEXR.scanlineimage, "chromaticities": stated}
    OpenEXR.File(header, {"RGB": change(radiance())}).write(str(tmp_path / "a.exr"))
    np.testing.assert_allclose(read_exr(tmp_path / "a.exr"), radiance(), rtol=2e-3, atol=1e-3)


def test_impossible_chromaticities_are_refused(tmp_path):
    header = {"type": OpenEXR.scanlineimage, "chromaticities": (0.3,) * 8}
    OpenEXR.File(header, {"RGB": radiance()}).write(str(tmp_path / "a.exr"))
    with pytest.raises(PictureError, match="chromaticities that cannot be used"):
        read_exr(tmp_path / "a.exr")
