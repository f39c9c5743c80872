"""The device side: a bundle in, pictures out. numpy and one engine; no torch, no exporter."""

from edgeexpo.frame_format import FrameFormat
from edgeexpo.runtime.engines.base import Engine, EngineOptions
from edgeexpo.runtime.engines.fake import FakeEngine
from edgeexpo.runtime.observation import Summary
from edgeexpo.runtime.result import Result
from edgeexpo.runtime.session import Session, load

__all__ = [
    "Engine",
    "EngineOptions",
    "FakeEngine",
    "FrameFormat",
    "Result",
    "Session",
    "Summary",
    "load",
]
