"""Sessions with a memory budget give the same pictures and keep the budget."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edgeexpo.errors import OutputError, PictureError, UsageError
from edgeexpo.imaging.raster import for_each, windows
from edgeexpo.runtime import FakeEngine, FrameFormat, budget, load
from edgeexpo.runtime.budget import LEAST_AUTOMATIC, SMALLEST_WINDOW, Budget
from edgeexpo.runtime.frames import empty_frame, from_rgb
from edgeexpo.runtime.spool import Spool
from edgeexpo.spec import SizeRange, StageSpec, TensorSpec
from tests.support.tiny_bundle import CORRECTION, FUSED_SMALL, RENDERED, write_bundle

MIB = 1 << 20
PAIR = ("under", "over")
LUMA = {"channels": 1, "color": "Y"}
SYSTEMS = {
    "interpolation": {
        "residual": "y0",
        "front": StageSpec("intermediate"),
        "back": StageSpec("exposure-fusion", {"floor": 1e-5}),
    },
    "correction": CORRECTION,
    "radiance": {
        "frames": ("picture",),
        "front": StageSpec("thumbnail", {"height": 32, "width": 32}),
        "inputs": (TensorSpec("y0"), TensorSpec("small", size=(32, 32))),
        "outputs": (TensorSpec("y_hat", transfer="linear", color="none"),),
        "back": None,
    },
    "luma": {
        "front": StageSpec("luma"),
        "inputs": (TensorSpec("under", **LUMA), TensorSpec("over", **LUMA)),
        "outputs": (TensorSpec("y_hat", **LUMA),),
        "back": StageSpec("chroma"),
    },
    "whole": {
        "halo": None,
        "front": None,
        "inputs": (TensorSpec("under"), TensorSpec("over")),
        "back": StageSpec("guided"),
        "longest": 64,
    },
    "fused-small": {"residual": "y0", **FUSED_SMALL},
    "rendered": RENDERED,
}


def blur(inputs):
    """Return the output of a local network: the mean of its inputs and their right neighbours."""
    pictures = [v for n, v in inputs.items() if n != "small"]
    mean = sum(pictures) / np.float32(len(pictures))
    after = np.concatenate([mean[..., 1:], mean[..., -1:]], axis=3)
    return {"y_hat": np.float32(0.9) * mean + np.float32(0.1) * after}


def open_system(folder, name, memory_mb, **options):
    if not folder.exists():
        write_bundle(folder, **SYSTEMS[name])
    return load(folder, memory_mb=memory_mb, engine=FakeEngine(blur), **options)


def frames_of(name, height, width):
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    wave = np.sin(rows / 31) * np.cos(columns / 23) * 90
    noise = np.random.default_rng(0).integers(-8, 9, (height, width, 3))
    exposures = (90, 160)[: len(SYSTEMS[name].get("frames", PAIR))]
    return [
        np.clip(level + wave[..., None] + noise, 0, 255).astype(np.uint8) for level in exposures
    ]


def allocated(function):
    """Return the largest number of bytes allocated at a time while the function runs."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", SYSTEMS)
def test_windows_give_the_same_picture(tmp_path, name):
    frames = frames_of(name, 500, 710)
    with open_system(tmp_path / "b", name, None) as session:
        expected = session(*frames)
    with open_system(tmp_path / "b", name, SMALLEST_WINDOW) as session:
        found = session(*frames)
    assert found.dtype == expected.dtype
    tolerance = 1 if found.dtype == np.uint8 else 1e-5
    np.testing.assert_allclose(found.astype(float), expected.astype(float), atol=tolerance)
    assert (found == expected).mean() > 0.999 or tolerance < 1


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_budget_is_kept(tmp_path, name):
    frames = frames_of(name, 1200, 1600)
    with open_system(tmp_path / "b", name, SMALLEST_WINDOW) as session:
        out = np.zeros_like(frames[0], np.float32 if name == "radiance" else np.uint8)
        peak = allocated(lambda: session.run_into(out, *frames))
    assert peak < SMALLEST_WINDOW * MIB
    assert out.std() > 0


@pytest.mark.parametrize("rotation", [0, pytest.param(90, marks=pytest.mark.slow)])
def test_camera_frames_are_read_and_written_within_it(tmp_path, rotation):
    nv12 = FrameFormat("nv12", rotation=rotation)
    frames = []
    for rgb in frames_of("interpolation", 1200, 1600):
        frames.append(empty_frame(1200, 1600, nv12))
        from_rgb(rgb.astype(np.float32) / 255, nv12, frames[-1])
    with open_system(tmp_path / "b", "interpolation", None, frames=nv12) as session:
        expected = session(*frames)
    with open_system(tmp_path / "b", "interpolation", SMALLEST_WINDOW, frames=nv12) as session:
        out = np.zeros_like(expected)
        peak = allocated(lambda: session.run_into(out, *frames))
    assert peak < SMALLEST_WINDOW * MIB
    assert np.abs(out.astype(int) - expected).max() <= 1


def test_what_cannot_be_kept_is_refused(tmp_path):
    with pytest.raises(UsageError, match="memory_mb is 8; expected at least 32"):
        open_system(tmp_path / "b", "interpolation", 8)
    spec = open_system(tmp_path / "c", "interpolation", SMALLEST_WINDOW).spec
    with pytest.raises(PictureError, match=r"9000x12000 .* needs 200 MiB and memory_mb is 32"):
        Budget(32).window(spec, 9000, 12000)
    assert Budget(256).window(spec, 6000, 8000) >= 512


@pytest.mark.parametrize(
    ("free", "limit"), [(8 << 30, 2048), (1 << 30, LEAST_AUTOMATIC), (0, LEAST_AUTOMATIC)]
)
def test_a_session_of_its_own_takes_a_quarter_of_what_is_free(monkeypatch, free, limit):
    monkeypatch.setattr(budget, "free_memory", lambda: free)
    own = Budget.of_session(None, 2)
    assert own == Budget(None, 2, limit)
    assert own.for_picture(2, 1080, 1920) is own
    assert own.for_picture(2, 12000, 16000) == Budget(limit, 2)
    asked = Budget.of_session(64, 2)
    assert asked.for_picture(2, 12000, 16000) is asked


def test_a_system_that_does_not_tell_its_memory_sets_no_limit(monkeypatch):
    monkeypatch.setattr(budget, "free_memory", lambda: None)
    own = Budget.of_session(None, 1)
    assert own.for_picture(2, 12000, 16000) is own


def test_a_large_picture_is_the_same_within_the_sessions_own_limit(tmp_path, monkeypatch):
    frames = frames_of("interpolation", 700, 900)
    with open_system(tmp_path / "b", "interpolation", None) as session:
        expected = session(*frames)
    monkeypatch.setattr(budget, "free_memory", lambda: 4 * 40 * MIB)
    monkeypatch.setattr(budget, "LEAST_AUTOMATIC", 32)
    with open_system(tmp_path / "c", "interpolation", None) as session:
        out = np.zeros_like(expected)
        peak = allocated(lambda: session.run_into(out, *frames))
    assert peak < 40 * MIB
    assert np.abs(out.astype(int) - expected).max() <= 1


def test_tiles_shrink_with_the_budget_until_they_are_mostly_halo(tmp_path):
    spec = open_system(tmp_path / "b", "interpolation", SMALLEST_WINDOW).spec
    sizes = SizeRange((2048, 512), (16, 16), 4)
    assert Budget(64).tiles(spec, sizes).largest == (352, 352)
    assert Budget(4096).tiles(spec, sizes).largest == (2048, 512)


def test_a_spool_gives_back_what_was_written():
    picture = np.random.default_rng(0).random((37, 23, 3), np.float32)
    spool = Spool(picture.shape)
    spool[0:20, 0:23] = picture[:20]
    spool[20:37, 0:9] = picture[20:, :9]
    spool[20:37, 9:23] = picture[20:, 9:]
    np.testing.assert_array_equal(spool[3:30, 4:17], picture[3:30, 4:17])


def test_a_spool_is_read_by_several_threads():
    picture = np.random.default_rng(0).random((400, 300, 3), np.float32)
    spool = Spool(picture.shape)
    for_each(windows(picture.shape, 50, 300), lambda w: spool.__setitem__(w, picture[w]), 4)
    found = np.empty_like(picture)
    for_each(windows(picture.shape, 64, 64), lambda w: found.__setitem__(w, spool[w]), 4)
    np.testing.assert_array_equal(found, picture)


def test_a_full_disk_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(OutputError, match="free space there, set TMPDIR, or raise memory_mb"):
        Spool((8, 8, 3))
