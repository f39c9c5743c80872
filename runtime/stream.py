"""Streams: frames at a camera's pace become pictures, and frames that come too fast are dropped."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeexpo.errors import UsageError
from edgeexpo.runtime.frame_queue import POLICIES, Channel, Closed
from edgeexpo.runtime.frames import Frame
from edgeexpo.runtime.job import Job, in_order
from edgeexpo.runtime.observation import DROPPED, DURATION, Observer
from edgeexpo.runtime.result import Item, Result, Source
from edgeexpo.runtime.steps import Steps


@dataclass
class _Passage:
    """One set of frames on its way through the threads, or the error that stopped it."""

    index: int
    job: Job
    arrived: float = field(default_factory=time.perf_counter)
    result: np.ndarray | None = None
    error: BaseException | None = None


class _Pipeline:
    """A thread for each step, with a channel before each step and one after the last."""

    def __init__(
        self, steps: Steps, drop: str, waiting: int, deadline: float | None, observe: Observer
    ) -> None:
        self._deadline, self._observe = deadline, observe
        self.entrance: Channel[_Passage] = Channel(waiting, drop)
        between: list[Channel[_Passage]] = [Channel(1) for _ in range(3)]
        self.exit = between[-1]
        self._channels = [self.entrance, *between]
        work: tuple[Callable[[Job], Any], ...] = (steps.prepare, steps.infer, steps.finish)
        names = ("front", "network", "back")
        self._threads = [
            threading.Thread(
                target=self._carry, args=(step, *ends), name=f"edgeexpo-{name}", daemon=True
            )
            for name, step, ends in zip(
                names, work, zip(self._channels, self._channels[1:], strict=False), strict=True
            )
        ]
        for thread in self._threads:
            thread.start()

    def dropped(self, reason: str) -> None:
        """Count one frame that is not shown."""
        self._observe(DROPPED, 1, {"reason": reason})

    def close(self) -> None:
        """Discard the waiting frames and wait for the running steps."""
        for channel in self._channels:
            channel.cancel()
        for thread in self._threads:
            thread.join()

    def _carry(
        self,
        step: Callable[[Job], Any],
        source: Channel[_Passage],
        target: Channel[_Passage],
    ) -> None:
        with contextlib.suppress(Closed):
            while True:
                passage = source.get()
                if source is self.entrance and self._late(passage):
                    self.dropped("deadline")
                    continue
                if passage.error is None:
                    _perform(step, passage)
                target.put(passage)
        target.end()

    def _late(self, passage: _Passage) -> bool:
        waited = time.perf_counter() - passage.arrived
        return self._deadline is not None and waited > self._deadline


def _perform(step: Callable[[Job], Any], passage: _Passage) -> None:
    try:
        made = step(passage.job)
    except Exception as error:  # noqa: BLE001 - the reader of the stream raises it again
        passage.error = error
    else:
        passage.result = made if isinstance(made, np.ndarray) else None


async def stream(
    steps: Steps,
    names: Sequence[str],
    source: Source,
    *,
    drop: str,
    waiting: int,
    deadline_ms: float | None,
    ev: float | None,
    observe: Observer,
) -> AsyncIterator[Result]:
    """See :meth:`edgeexpo.runtime.Session.stream`."""
    if drop not in POLICIES:
        raise UsageError(f"drop is {drop!r}; expected {', '.join(POLICIES)}")
    if waiting < 1:
        raise UsageError(f"{waiting} frames may wait; expected one or more")
    deadline = None if deadline_ms is None else deadline_ms / 1000
    pipeline = _Pipeline(steps, drop, waiting, deadline, observe)
    feeding = asyncio.ensure_future(_feed(pipeline, steps, names, source, drop, ev))
    try:
        while True:
            try:
                passage = await asyncio.to_thread(pipeline.exit.get)
            except Closed:
                break
            if passage.error is not None:
                raise passage.error
            assert passage.result is not None  # the last step sets the result
            latency = time.perf_counter() - passage.arrived
            observe(DURATION, latency, {"stage": "total"})
            yield Result(passage.result, passage.index, latency * 1000)
        await feeding
    finally:
        feeding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await feeding
        await asyncio.shield(asyncio.to_thread(pipeline.close))


async def _feed(
    pipeline: _Pipeline,
    steps: Steps,
    names: Sequence[str],
    source: Source,
    drop: str,
    ev: float | None,
) -> None:
    """Put the source's items into the pipeline until the source or the pipeline ends."""
    index = 0
    try:
        async for item in _items(source):
            passage = _Passage(index, steps.begin(Job(_frames(names, item), ev)))
            index += 1
            if drop == "none":
                await asyncio.to_thread(pipeline.entrance.put, passage)
            elif pipeline.entrance.put(passage) is not None:
                pipeline.dropped(drop)
    except Closed:
        return
    finally:
        pipeline.entrance.end()


async def _items(source: Source) -> AsyncIterator[Item]:
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
        return
    iterator = iter(source)
    while taken := await asyncio.to_thread(_next, iterator):
        yield taken[0]


def _next(iterator: Iterator[Item]) -> tuple[Item] | tuple[()]:
    """Return the next item in a tuple, or an empty tuple at the end.

    A StopIteration cannot leave a coroutine.
    """
    for item in iterator:
        return (item,)
    return ()


def _frames(names: Sequence[str], item: Item) -> list[Frame]:
    if isinstance(item, Mapping):
        return in_order(names, (), item)
    if len(names) == 1:
        return in_order(names, (item,), {})  # type: ignore[arg-type]
    return in_order(names, tuple(item), {})
