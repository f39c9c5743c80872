"""A session travels to another process as its bundle and its arguments."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from edgeexpo.errors import BundleError, UsageError
from edgeexpo.runtime import FakeEngine, FrameFormat, load
from tests.support.tiny_bundle import write_bundle

FRAMES = [np.full((24, 32, 3), code, np.uint8) for code in (60, 200)]


def shown(session, frames):
    with session:
        return session(*frames)


def test_a_worker_process_shows_the_same_picture(tmp_path) -> None:
    with load(write_bundle(tmp_path / "b"), threads=1) as session:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found = pool.submit(shown, session, FRAMES).result(timeout=120)
        np.testing.assert_array_equal(found, session(*FRAMES))


def test_arguments_travel_and_the_folder_is_absolute(tmp_path, monkeypatch) -> None:
    write_bundle(tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    with load("b", frames=FrameFormat("bgr"), memory_mb=64) as session:
        data = pickle.dumps(session)
        frames = [np.random.default_rng(0).integers(0, 256, f.shape, np.uint8) for f in FRAMES]
        expected = session(*frames)
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(shown(pickle.loads(data), frames), expected)


def test_a_bundle_that_is_gone_is_named(tmp_path) -> None:
    with load(write_bundle(tmp_path / "b")) as session:
        data = pickle.dumps(session)
    (tmp_path / "b").rename(tmp_path / "c")
    with pytest.raises(BundleError, match="no bundle at"):
        pickle.loads(data)


def test_an_engine_of_the_callers_own_cannot_travel(tmp_path) -> None:
    engine = FakeEngine(lambda inputs: {"y_hat": inputs["y0"]})
    with (
        load(write_bundle(tmp_path / "b"), engine=engine) as session,
        pytest.raises(UsageError, match="cannot be pickled"),
    ):
        pickle.dumps(session)
