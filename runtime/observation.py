"""Metrics of a session and its streams, with OpenTelemetry's names, reported to a callback.

An observer is called with a metric's name, a value and attributes. The call comes from any thread,
so the observer should return at once. Names, units and kinds follow OpenTelemetry's conventions: a
callback of three lines can pass them on to an OpenTelemetry meter.

=============================== ========= ====== =============================================
name                            kind      unit   attributes
=============================== ========= ====== =============================================
edgeexpo.frame.duration         histogram s      ``stage``: front, network, back, total; for front
                                                 and back ``kernels``: numba, numpy
edgeexpo.frame.count            counter   1
edgeexpo.frame.bytes            counter   By     bytes of the frames taken in
edgeexpo.frame.dropped          counter   1      ``reason``: oldest, newest, deadline
edgeexpo.engine.restarts        counter   1      ``reason``: crash, hang, interrupt
=============================== ========= ====== =============================================
"""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from collections.abc import Callable, Mapping

DURATION, COUNT = "edgeexpo.frame.duration", "edgeexpo.frame.count"
"""Names of the metrics; the module's table describes them."""

BYTES, DROPPED = "edgeexpo.frame.bytes", "edgeexpo.frame.dropped"
RESTARTS = "edgeexpo.engine.restarts"

Observer = Callable[[str, float, Mapping[str, str]], None]
"""Function that takes a metric's name, a value and attributes."""

BOUNDS = tuple(10 ** (-5 + i / 40) for i in range(281))
"""Upper bounds of the histogram's buckets, in seconds: from 10 us to 100 s, 6 % apart."""


def ignore(name: str, value: float, attributes: Mapping[str, str]) -> None:
    """Ignore a metric; it is the observer of a caller who asks for no metrics."""


class Summary:
    """An observer that keeps totals and histograms of bounded size; many threads may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: Counter[tuple[str, str]] = Counter()
        self._buckets: dict[str, list[int]] = {}

    def __call__(self, name: str, value: float, attributes: Mapping[str, str]) -> None:
        """Record one value of a metric."""
        with self._lock:
            if name == DURATION:
                counts = self._buckets.setdefault(attributes["stage"], [0] * (len(BOUNDS) + 1))
                counts[bisect.bisect_left(BOUNDS, value)] += 1
            else:
                self._totals[name, attributes.get("reason", "")] += value  # type: ignore[assignment]

    def percentile(self, share: float, stage: str = "total") -> float | None:
        """Return the duration in seconds that ``share`` (0 to 1) of the frames did not exceed.

        The value is the upper bound of its bucket, so it is at most 6 % too large. Before the first
        frame it is ``None``.
        """
        with self._lock:
            counts = list(self._buckets.get(stage, ()))
        if not sum(counts):
            return None
        wanted, seen = share * sum(counts), 0
        for bound, count in zip((*BOUNDS, float("inf")), counts, strict=True):
            seen += count
            if seen >= wanted:
                return bound
        return float("inf")

    def total(self, name: str, reason: str = "") -> float:
        """Return the sum of a counter; drops and restarts are counted for each ``reason``."""
        with self._lock:
            return float(self._totals[name, reason])
