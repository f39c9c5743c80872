"""Smaller probes of the lab, for tests that are not about their size."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from edgeexpo.parity import cases, recording

SMALL_PROBE_SIDE = 128
"""Side of these probes in pixels: a multiple of what networks need, and several tiles of 64."""


@contextlib.contextmanager
def small_probes_drawn() -> Iterator[None]:
    """Draw the lab's probes at :data:`SMALL_PROBE_SIDE` inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (cases, recording):
            patch.setattr(module, "PROBE_SIDE", SMALL_PROBE_SIDE)
        yield
