"""A warm session allocates no memory for a frame, and reused memory changes no picture."""

from __future__ import annotations

import asyncio
import importlib.util
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edgeexpo.imaging import scratch
from edgeexpo.imaging.kernels import numba_problem, using_kernels
from edgeexpo.imaging.raster import whole_picture
from edgeexpo.imaging.resize import resize
from edgeexpo.imaging.scratch import Scratch
from edgeexpo.runtime import FakeEngine, FrameFormat, load
from edgeexpo.runtime.frames import empty_frame, to_rgb
from edgeexpo.runtime.stages import back, front, small_size
from edgeexpo.spec import StageSpec
from tests.support.tiny_bundle import CORRECTION, FUSED_SMALL, RENDERED, write_bundle

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "allocations.py"
LEAST = 128 * 1024
"""Bytes per line that count as an allocation.

``numpy.einsum`` takes a buffer of 64 KiB, and compiled kernels keep rows of 512 pixels in 94 KiB. A
plane of a window of these frames has 280 KiB as bytes, and four times as many in float32.
"""

SIZE = (280, 1120)
SYSTEMS = {
    "fusion": {
        "front": StageSpec("intermediate", {"levels": 255}),
        "back": StageSpec("exposure-fusion", {"floor": 1e-5}),
    },
    "guided": CORRECTION,
    "fused-small": FUSED_SMALL,
    "rendered": RENDERED,
}


FORMS = ["numpy", *(["numba"] if numba_problem() is None else [])]


@pytest.fixture(params=FORMS)
def form(request):
    with using_kernels(request.param):
        yield request.param


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("allocations", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def identity():
    return FakeEngine(lambda inputs: {"y_hat": next(iter(inputs.values()))})


def opened(folder, name, layout="rgb", **options):
    if not folder.exists():
        write_bundle(folder, **SYSTEMS[name])
    options.setdefault("engine", identity())
    return load(folder, frames=FrameFormat(layout), **options)


def frames_of(name, layout="rgb", seed=0):
    rng, shot = np.random.default_rng(seed), empty_frame(*SIZE, FrameFormat(layout))
    count = len(SYSTEMS[name].get("frames", ("under", "over")))
    return [rng.integers(16, 236, shot.shape, shot.dtype) for _ in range(count)]


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("layout", ["rgb", "nv12", "p010"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_no_line_allocates(tmp_path, script, name, layout):
    frames = frames_of(name, layout)
    out = np.empty_like(frames[0])
    with opened(tmp_path / "b", name, layout, threads=1) as session:
        for _ in range(3):
            session.run_into(out, *frames)
        found = script.allocating_lines(lambda: session.run_into(out, *frames), LEAST)
    assert not found


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("name", SYSTEMS)
def test_nothing_is_allocated_on_several_threads(tmp_path, script, name):
    frames = frames_of(name)
    out = np.empty_like(frames[0])
    with opened(tmp_path / "b", name, threads=2) as session:
        for _ in range(3):
            session.run_into(out, *frames)
        peak, kept = script.peak_and_rest(lambda: session.run_into(out, *frames))
    assert peak < 256 * 1024
    assert kept < 16 * 1024


def test_an_allocation_is_seen(script):
    found = script.allocating_lines(lambda: np.zeros(20_000).sum(), LEAST)
    assert [most for _, most in found.values()] == [pytest.approx(160_000, rel=0.1)]


def overwritten(monkeypatch):
    """Fill memory with invalid numbers when it is new and when it is released."""
    release, slab = Scratch.release, scratch._slab

    def release_and_overwrite(self, top=(0, 0, 0)):
        for index in range(top[0], min(self._slab + 1, len(self._slabs))):
            stop = self._offset if index == self._slab else None
            self._slabs[index][top[1] if index == top[0] else 0 : stop] = 255  # NaN
        release(self, top)

    def overwritten_slab(size):
        memory = slab(size)
        memory[...] = 255
        return memory

    monkeypatch.setattr(Scratch, "release", release_and_overwrite)
    monkeypatch.setattr(scratch, "_slab", overwritten_slab)


@pytest.mark.parametrize("layout", ["rgb", "nv12"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_nothing_is_used_after_it_went_back(tmp_path, monkeypatch, name, layout):
    frames = frames_of(name, layout)
    with opened(tmp_path / "b", name, layout) as session:
        expected, spec = session(*frames), session.spec
        bare = session(*frames, fuse=False)
    overwritten(monkeypatch)
    with opened(tmp_path / "b", name, layout) as session:
        for _ in range(3):
            np.testing.assert_array_equal(session(*frames), expected)
        if layout == "rgb":
            np.testing.assert_array_equal(session(*frames, fuse=False), bare)
            floats = [whole_picture(to_rgb(f, FrameFormat(layout))) for f in frames]
            copies = {"rendered": bare.shape[:2], "fused-small": small_size(*SIZE, 64)}
            seen = [resize(f, copies[name]) for f in floats] if name in copies else floats
            output = next(iter(front(spec, seen, None).values()))
            plain = np.rint(back(spec, output, floats) * 255)
            assert np.abs(plain - expected).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_threads_that_share_a_session_do_not_share_memory(tmp_path, name):
    every = [frames_of(name, seed=seed) for seed in range(6)]
    with opened(tmp_path / "b", name) as session:
        expected = [session(*frames) for frames in every]
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda frames: session(*frames), every * 3))

        async def streamed():
            source = (frames if len(frames) > 1 else frames[0] for frames in every)
            return [result.frame async for result in session.stream(source, drop="none")]

        pictures = asyncio.run(streamed())
    for picture, wanted in zip([*found, *pictures], expected * 4, strict=True):
        np.testing.assert_array_equal(picture, wanted)


def test_a_closed_session_keeps_no_memory(tmp_path):
    frames = frames_of("fusion")
    tracemalloc.start()
    session = opened(tmp_path / "b", "fusion")
    session(*frames)
    held = tracemalloc.get_traced_memory()[0]
    session.close()
    freed = held - tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert freed > np.prod(SIZE) * 3 * 4
