"""The device side: a bundle in, pictures out. numpy and one engine; no torch, no exporter."""

from edgeexpo.runtime.engine import Engine
from edgeexpo.runtime.fake_engine import FakeEngine
from edgeexpo.runtime.frames import FrameFormat
from edgeexpo.runtime.session import Session, load

__all__ = ["Engine", "FakeEngine", "FrameFormat", "Session", "load"]
