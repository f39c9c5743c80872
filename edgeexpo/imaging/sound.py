"""Sound tracks of a video: copied, or coded anew where a container cannot hold them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from edgeexpo.imaging.clips import Clip, package

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's names of the containers that can be written, by suffix."""

NEW_CODEC = "aac"
"""Codec of tracks that are coded anew. Every container of :data:`CONTAINERS` holds it."""


class Track:
    """A sound track on its way into a new file.

    Attributes:
        source: PyAV's stream that is read.
        name: Name of the codec, or ``unknown``.
        copied: True when the container holds the codec, so that the packets stay unchanged.
        kept: False when the track can be neither copied nor decoded.
    """

    def __init__(self, clip: Clip, source: Any, suffix: str) -> None:
        self._clip = clip
        self.source = source
        codec = getattr(source.codec_context, "codec", None)
        self.name = codec.name if codec else "unknown"
        self.copied = codec is not None and _holds(CONTAINERS[suffix], source)
        self.kept = codec is not None

    def add_to(self, container: Any) -> Iterator[tuple[float, Any]]:
        """Add the track to an opened output.

        Returns:
            An iterator of times in seconds and packets that are ready for ``container.mux``.
        """
        source = self.source
        if self.copied:
            target = container.add_stream_from_template(source)
        else:
            context = source.codec_context
            target = container.add_stream(NEW_CODEC, rate=context.sample_rate)
            target.codec_context.layout = context.layout
        target.metadata.update(source.metadata)
        return self._unchanged(target) if self.copied else self._anew(target)

    def _unchanged(self, target: Any) -> Iterator[tuple[float, Any]]:
        for packet in self._clip.packets(self.source):
            seconds = float(packet.dts * packet.time_base)
            packet.stream = target
            yield seconds, packet

    def _anew(self, target: Any) -> Iterator[tuple[float, Any]]:
        seconds = 0.0
        for frame in self._clip.samples(self.source):
            seconds = seconds if frame.time is None else frame.time
            for packet in target.encode(frame):
                yield seconds, packet
        for packet in target.encode(None):
            yield seconds, packet


def tracks(clip: Clip, suffix: str) -> list[Track]:
    """Return the sound tracks of a clip for a file with ``suffix``."""
    return [Track(clip, source, suffix) for source in clip.sound]


def _holds(container: str, source: Any) -> bool:
    """Return whether a container takes a track's packets, by writing a header into memory."""
    av = package()
    trial = av.open(io.BytesIO(), "w", format=container)
    try:
        trial.add_stream_from_template(source)
        trial.start_encoding()
    # PyAV names its own refusals by ValueError, and FFmpeg's by classes of their own.
    except (av.FFmpegError, ValueError):
        return False
    return True
