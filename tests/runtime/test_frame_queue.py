from __future__ import annotations

import contextlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeexpo.runtime.frame_queue import Channel, Closed


def taken(channel):
    """Return all items until the end."""
    found = []
    with contextlib.suppress(Closed):
        while True:
            found.append(channel.get())
    return found


@given(items=st.lists(st.integers(), max_size=20), capacity=st.integers(1, 5))
def test_what_is_dropped_and_what_stays_is_everything(items, capacity):
    for policy, kept in (("oldest", items[-capacity:]), ("newest", items[:capacity])):
        channel: Channel[int] = Channel(capacity, policy)
        dropped = [item for item in map(channel.put, items) if item is not None]
        channel.end()
        found = taken(channel)
        assert found == kept
        assert sorted(dropped + found) == sorted(items)


def test_without_drops_the_source_waits():
    channel: Channel[int] = Channel(1)
    done = []

    def feed():
        for item in range(50):
            channel.put(item)
            done.append(item)
        channel.end()

    thread = threading.Thread(target=feed)
    thread.start()
    first = channel.get()
    assert len(done) <= 3
    found = [first, *taken(channel)]
    thread.join()
    assert found == list(range(50))


@pytest.mark.parametrize("waiting", ["put", "get"])
def test_a_cancelled_channel_lets_everyone_go(waiting):
    channel: Channel[int] = Channel(1)
    if waiting == "put":
        channel.put(0)
    ended = []

    def wait():
        with pytest.raises(Closed):
            channel.put(1) if waiting == "put" else channel.get()
        ended.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    channel.cancel()
    thread.join(5)
    assert ended == [True]
    with pytest.raises(Closed):
        channel.get()
