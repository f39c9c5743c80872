import cv2
import numpy as np
import OpenEXR
import pytest

from edgeexpo.errors import UsageError
from edgeexpo.training import synthesis


def sky(height: int = 64) -> np.ndarray:
    """Return an equirectangular map whose colour encodes the direction, smooth across the seam."""
    latitude = np.linspace(np.pi / 2, -np.pi / 2, height)[:, None]
    longitude = (np.arange(2 * height) + 0.5) / (2 * height) * 2 * np.pi - np.pi
    x = np.cos(latitude) * np.sin(longitude)
    y = np.sin(latitude) * np.ones_like(longitude)
    z = np.cos(latitude) * np.cos(longitude)
    return np.stack([x, y, z], axis=2).astype(np.float32)


@pytest.mark.parametrize(
    ("yaw", "pitch", "direction"),
    [(0, 0, (0, 0, 1)), (np.pi / 2, 0, (1, 0, 0)), (np.pi, 0, (0, 0, -1)), (0, 0.5, None)],
)
def test_view_looks_where_it_is_told(yaw, pitch, direction):
    view = synthesis.perspective(sky(), 33, yaw, pitch, np.deg2rad(60))
    expected = direction or (0, np.sin(0.5), np.cos(0.5))
    np.testing.assert_allclose(view[16, 16], expected, atol=0.03)


def test_view_is_upright_and_as_wide_as_told():
    view = synthesis.perspective(sky(), 65, 0.0, 0.0, np.deg2rad(90))
    assert view[0, 32, 1] > 0 > view[-1, 32, 1]
    assert view[32, 0, 0] < 0 < view[32, -1, 0]
    np.testing.assert_allclose(view[32, -1, 0], np.sin(np.pi / 4), atol=0.03)


def test_random_view_has_the_stated_key():
    rng = np.random.default_rng(0)
    for _ in range(5):
        view = synthesis.random_view(np.abs(sky()) + 0.01, 40, rng)
        key = np.exp(np.log(view.mean(axis=2) + 1e-6).mean())
        assert 0.089 < key < 0.361


def test_bracket_is_ordered_and_its_truth_is_between():
    rng = np.random.default_rng(0)
    bracket = synthesis.shoot_bracket(np.abs(sky()), 4.0, rng)
    assert bracket.under.mean() < bracket.truth.mean() < bracket.over.mean()
    assert bracket.ev == 4.0


def test_interpolation_pair_repeats_with_the_seed_and_is_close():
    texture = cv2.GaussianBlur(np.random.default_rng(0).random((48, 48, 3), np.float32), (0, 0), 2)
    first, again, other = (
        synthesis.interpolation_pair(texture, np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != other[0]).any()
    assert np.sqrt(np.mean((first[0] - first[1]) ** 2)) < 0.05


def test_held_out_maps_are_kept_apart_and_damaged_ones_are_named(tmp_path, capsys):
    for name in ("lab", "city"):
        assert cv2.imwrite(str(tmp_path / f"{name}.hdr"), np.ones((8, 16, 3), np.float32))
    (tmp_path / "blender_night.exr").write_bytes(b"")
    (tmp_path / "dusk.hdr").write_bytes(b"#?RADIANCE")
    assert list(synthesis.radiance_maps(tmp_path, held_out=False)) == ["city"]
    said = capsys.readouterr().err
    assert "2 radiance maps skipped: dusk.hdr, blender_night.exr" in said
    assert list(synthesis.radiance_maps(tmp_path, held_out=True)) == ["lab"]


def test_exr_maps_are_read_without_negative_light(tmp_path):
    radiance = np.linspace(-0.01, 30, 8 * 16 * 3, dtype=np.float32).reshape(8, 16, 3)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    for name in ("city", "blender_city"):
        OpenEXR.File(header, {"RGB": radiance}).write(str(tmp_path / f"{name}.exr"))
    maps = synthesis.radiance_maps(tmp_path, held_out=True)
    assert list(maps) == ["blender_city"]
    np.testing.assert_array_equal(maps["blender_city"], np.maximum(radiance, 0))


def test_folder_without_maps_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"\.hdr"):
        synthesis.radiance_maps(tmp_path, held_out=False)
