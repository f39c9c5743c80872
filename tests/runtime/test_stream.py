"""Streams around a fake engine whose speed the test controls."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import numpy as np
import pytest

from edgeexpo.errors import EngineError, PictureError, UsageError
from edgeexpo.runtime import FakeEngine, Summary, load
from edgeexpo.runtime.observation import COUNT, DROPPED
from tests.support.tiny_bundle import write_bundle

ONE = {"frames": ("picture",), "front": None, "back": None}


@pytest.fixture
def bundle(tmp_path):
    """Write a bundle whose network returns its one frame."""
    return write_bundle(tmp_path / "b", **ONE)


def frames(count, side=20):
    return [np.full((side, side, 3), index % 256, np.uint8) for index in range(count)]


def engine(work=lambda: None):
    def run(inputs):
        work()
        return {"y_hat": inputs["y0"]}

    return FakeEngine(run)


def collected(session, source, **options):
    async def run():
        return [result async for result in session.stream(source, **options)]

    return asyncio.run(asyncio.wait_for(run(), 20))


def indices(results):
    return [int(result.frame[0, 0, 0]) for result in results]


def no_threads_left():
    return not [t for t in threading.enumerate() if t.name.startswith("edgeexpo-")]


def test_every_frame_comes_in_order_when_none_is_dropped(bundle):
    summary = Summary()
    with load(bundle, engine=engine(), observe=summary) as session:
        found = collected(session, frames(30), drop="none")
    assert indices(found) == [result.index for result in found] == list(range(30))
    assert all(0 < result.latency_ms < 20000 for result in found)
    assert summary.total(COUNT) == 30
    assert 0 < summary.percentile(0.5) <= summary.percentile(0.99)
    assert no_threads_left()


def test_an_asynchronous_source_of_pairs(tmp_path):
    bundle = write_bundle(tmp_path / "pairs")

    async def camera():
        for level in (50, 60):
            await asyncio.sleep(0)
            yield {"over": np.full((20, 20, 3), 200, np.uint8), "under": frames(level + 1)[-1]}
        yield frames(2)

    with load(bundle, engine=engine()) as session:
        found = collected(session, camera(), drop="none", ev=2.0)
    assert [result.frame.shape for result in found] == [(20, 20, 3)] * 3


@pytest.mark.parametrize("policy", ["oldest", "newest"])
def test_what_comes_too_fast_is_dropped(bundle, policy):
    gate, started = threading.Event(), threading.Event()

    def wait():
        started.set()
        gate.wait(10)

    def camera():
        for frame in frames(40):
            yield frame
            if frame[0, 0, 0] == 0:
                started.wait(10)
        gate.set()

    summary = Summary()
    with load(bundle, engine=engine(wait), observe=summary) as session:
        found = collected(session, camera(), drop=policy, waiting=3)
    shown = indices(found)
    assert shown == sorted(shown)
    assert shown[0] == 0
    assert len(shown) + summary.total(DROPPED, policy) == 40
    assert len(shown) <= 8
    assert (39 in shown) == (policy == "oldest")
    assert [result.index for result in found] == shown


def test_frames_past_their_deadline_are_dropped(bundle):
    summary = Summary()
    with load(bundle, engine=engine(lambda: time.sleep(0.05)), observe=summary) as session:
        found = collected(session, frames(12), drop="none", waiting=12, deadline_ms=60)
    assert 0 < len(found) < 12
    assert len(found) + summary.total(DROPPED, "deadline") == 12


def test_leaving_the_loop_ends_the_threads_and_the_session_goes_on(bundle):
    async def leave(session):
        stream = session.stream(iter(frames(1000)), drop="none")
        async for result in stream:
            if result.index == 3:
                break
        await stream.aclose()

    with load(bundle, engine=engine()) as session:
        asyncio.run(leave(session))
        assert no_threads_left()
        assert indices(collected(session, frames(4), drop="none")) == [0, 1, 2, 3]


def test_a_cancelled_task_ends_the_threads(bundle):
    async def run(session):
        async def read():
            async for _ in session.stream(iter(frames(10**4)), drop="none"):
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with load(bundle, engine=engine(lambda: time.sleep(0.01))) as session:
        asyncio.run(run(session))
        assert no_threads_left()
        assert session(frames(3)[2])[0, 0, 0] == 2


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (np.zeros((20, 20, 4), np.uint8), PictureError, "drop the alpha channel"),
        (np.full((20, 20, 3), np.nan, np.float32), PictureError, "expected"),
        ({"over": frames(1)[0]}, UsageError, "expected picture"),
    ],
)
def test_a_bad_frame_is_told_and_the_session_goes_on(bundle, bad, error, words):
    with load(bundle, engine=engine()) as session:
        with pytest.raises(error, match=words):
            collected(session, [frames(1)[0], bad, frames(1)[0]], drop="none")
        assert no_threads_left()
        assert len(collected(session, frames(3), drop="none")) == 3


def test_a_source_that_fails_is_told(bundle):
    def camera():
        yield frames(1)[0]
        raise RuntimeError("the camera was unplugged")

    with load(bundle, engine=engine()) as session:
        with pytest.raises(RuntimeError, match="unplugged"):
            collected(session, camera(), drop="none")
        assert no_threads_left()


def test_unknown_options_are_refused(bundle):
    with load(bundle, engine=engine()) as session:
        with pytest.raises(UsageError, match="drop is 'latest'; expected oldest"):
            collected(session, frames(2), drop="latest")
        with pytest.raises(UsageError, match="0 frames may wait"):
            collected(session, frames(2), waiting=0)


def test_a_closed_session_ends_its_streams(bundle):
    with load(bundle, engine=engine()) as session:
        pass
    with pytest.raises(EngineError, match="closed"):
        collected(session, frames(3), drop="none")


def test_several_threads_share_a_session_and_the_engine_runs_for_one(bundle):
    inside, most = [], []

    def work():
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.002)
        inside.pop()

    found = {}
    with load(bundle, engine=engine(work)) as session:

        def call(level):
            found[level] = [int(session(frame)[0, 0, 0]) for frame in frames(level + 1)]

        threads = [threading.Thread(target=call, args=(level,)) for level in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {level: list(range(level + 1)) for level in range(6)}
    assert max(most) == 1


def test_a_forked_process_is_told_to_load_again(bundle, monkeypatch):
    with load(bundle, engine=engine()) as session:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(EngineError, match="do not survive a fork"):
            session(frames(1)[0])
        monkeypatch.undo()
        assert session(frames(1)[0]).shape == (20, 20, 3)
