"""The device side: it opens a bundle and computes pictures.

It needs numpy and one engine. It needs neither torch nor an exporter.
"""

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
