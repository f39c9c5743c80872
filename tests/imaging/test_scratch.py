"""Tests of scratch memory: a stack of arrays that is allocated once, for one thread at a time."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.imaging import scratch
from edgeexpo.imaging.raster import for_each, windows
from edgeexpo.imaging.scratch import Scratch, interp, kept, planar, scope, scratch_array


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_without_a_scratch_arrays_are_new():
    first = scratch_array((3, 5))
    with scope():
        second = scratch_array((3, 5))
    assert first.base is None
    assert not np.shares_memory(first, second)


def test_a_frame_takes_the_memory_of_the_last():
    memory, seen = Scratch(), []
    for _ in range(4):
        with memory.lent():
            seen.append(
                [address(scratch_array((100, 200))), address(scratch_array((50, 7), np.float64))]
            )
        memory.clear()
    assert seen[1] == seen[2] == seen[3]


def test_what_is_taken_in_a_scope_is_given_back_at_its_end():
    with Scratch().lent():
        with scope():
            inner = scratch_array((1000,))
        after = scratch_array((1000,))
    assert address(inner) == address(after)


@given(st.lists(st.integers(0, 70_000), min_size=1, max_size=12), st.data())
def test_arrays_that_live_at_once_lie_apart(sizes, data):
    memory = Scratch()
    for _ in range(2):
        with memory.lent():
            alive = []
            for index, size in enumerate(sizes):
                with scope():
                    scratch_array((data.draw(st.integers(0, 70_000)),), np.uint8).fill(255)
                alive.append(scratch_array((size,), np.uint8))
                alive[-1].fill(index)
            for index, array in enumerate(alive):
                assert (array == index).all()
                assert address(array) % 64 == 0
        memory.clear()


def test_a_warm_scratch_takes_nothing():
    memory = Scratch()
    for warm in (False, False, True):
        if warm:
            tracemalloc.start()
        with memory.lent(), scope():
            scratch_array((400, 400))
            scratch_array((300, 300))
        memory.clear()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Only Python's own objects take memory here. The smaller array has 360,000 bytes.
    assert peak < 16 * 1024


def test_memory_of_a_large_frame_is_given_up_after_a_small_one():
    memory = Scratch()
    tracemalloc.start()
    held = []
    for size in (4_000_000, 1_000_000, 1_000_000):
        with memory.lent():
            scratch_array((size,), np.uint8)
        memory.clear()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[0] > 4_000_000
    assert held[2] < 1_200_000


def test_a_scratch_is_lent_to_one_thread():
    found = []
    with Scratch().lent():
        thread = threading.Thread(target=lambda: found.append(scratch_array((4,)).base))
        thread.start()
        thread.join()
    assert found == [None]


def test_threads_that_help_have_memory_of_their_own():
    memory, picture = Scratch(), np.zeros((64, 64), np.float32)
    barrier = threading.Barrier(2, timeout=10)

    def work(window):
        part = scratch_array((32, 32))
        part.fill(window[0].start * 64 + window[1].start)
        barrier.wait()  # now both threads have their arrays
        picture[window] = part

    with memory.lent():
        for_each(windows((64, 64), 32, 32), work, workers=2)
    expected = np.add.outer(np.arange(64) // 32 * 32 * 64, np.arange(64) // 32 * 32)
    np.testing.assert_array_equal(picture, expected)


def test_a_planar_picture_is_planes_in_memory():
    picture = planar((4, 6, 3))
    assert picture.shape == (4, 6, 3)
    assert scratch.planes(picture).flags.c_contiguous


@pytest.mark.parametrize("length", [0, 1, 128, 129, 700])
def test_interpolation_in_pieces_is_numpys(length):
    rng = np.random.default_rng(length)
    x, xp = rng.random(length), np.sort(rng.random(300))
    fp = rng.random(300)
    np.testing.assert_array_equal(interp(x, xp, fp), np.interp(x, xp, fp))
    np.testing.assert_array_equal(kept(x, x > 0.4), x[x > 0.4])


def test_numpys_buffers_are_small_only_while_a_scratch_is_lent():
    before = np.getbufsize()
    with Scratch().lent():
        assert np.getbufsize() < before
    assert np.getbufsize() == before
