"""Video files, written frame by frame as H.264 with the sound and the colours of another video.

A file appears under its name when it is complete, and not otherwise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import OutputError
from edgeexpo.frame_format import FrameFormat
from edgeexpo.imaging.clips import METADATA_ERRORS, Clip, Time, package
from edgeexpo.imaging.sound import CONTAINERS, Track
from edgeexpo.imaging.video_colours import FULL, LIMITED, MATRIX_CODES
from edgeexpo.writing import writing

QUALITY = "16"
"""Constant rate factor of x264 at which no loss is visible."""

_OF_THE_CONTAINER = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}
"""Keys of metadata that describe the other file, not the video."""


def written_format(frame_format: FrameFormat) -> FrameFormat:
    """Return the format of the written pictures: the clip's colours in upright ``i420``."""
    return FrameFormat("i420", frame_format.matrix, frame_format.full_range, "left")


class ClipWriter:
    """Writer of one video, as a context. The file is complete when the context ends.

    An exception inside the context leaves an existing file unchanged.

    Args:
        path: The file to write or replace, with a suffix of
            :data:`~edgeexpo.imaging.sound.CONTAINERS`.
        clip: The video whose colours, pixel aspect and metadata are written.
        sound: Tracks of the clip. They are written beside the pictures, in step with them.

    Raises:
        OutputError: FFmpeg or the operating system cannot write the file.
    """

    def __init__(self, path: Path, clip: Clip, sound: Sequence[Track]) -> None:
        self._av, self._path = package(), path
        self._part = path.with_name(f".{path.stem}.part{path.suffix}")
        with self._failures():
            self._container = self._av.open(
                str(self._part.absolute()),
                "w",
                format=CONTAINERS[path.suffix.lower()],
                metadata_errors=METADATA_ERRORS,
            )
            self._container.metadata.update(
                {k: v for k, v in clip.container.metadata.items() if k not in _OF_THE_CONTAINER}
            )
            self._stream = self._container.add_stream(
                "libx264", rate=clip.rate, options={"crf": QUALITY}
            )
            self._describe(clip)
            self._sound = [_Pending(track.add_to(self._container)) for track in sound]

    def write(self, picture: np.ndarray, time: Time) -> None:
        """Add one picture in i420: an array of 3H/2 rows and W columns."""
        context = self._stream.codec_context
        with self._failures():
            frame = self._av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.pts, frame.time_base = time
            for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
                setattr(frame, name, getattr(context, name))
            self._container.mux(self._stream.encode(frame))
            self._write_sound(float(time[0] * time[1]))

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._remove()
            return
        with self._failures():
            self._container.mux(self._stream.encode(None))
            self._write_sound(float("inf"))
            self._container.close()
            self._part.replace(self._path)

    def _describe(self, clip: Clip) -> None:
        stream, context = self._stream, self._stream.codec_context
        stream.height, stream.width = clip.size
        stream.pix_fmt = "yuv420p"
        context.colorspace = MATRIX_CODES[clip.frame_format.matrix]
        context.color_range = FULL if clip.frame_format.full_range else LIMITED
        context.color_primaries, context.color_trc = clip.primaries, clip.transfer
        context.time_base = clip.stream.time_base
        if clip.pixel_aspect is not None:
            context.sample_aspect_ratio = clip.pixel_aspect

    def _write_sound(self, until: float) -> None:
        for pending in self._sound:
            for packet in pending.up_to(until):
                self._container.mux(packet)

    def _remove(self) -> None:
        with contextlib.suppress(AttributeError, self._av.FFmpegError, OSError, ValueError):
            self._container.close()
        self._part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Name the file in every failure, and remove what was written of it."""
        try:
            with writing(self._path):
                yield
        except self._av.FFmpegError as error:
            self._remove()
            reason = error.strerror or type(error).__name__
            raise OutputError(f"cannot write {self._path} as a video: {reason}") from error
        except BaseException:
            self._remove()
            raise


class _Pending:
    """Packets of a track that wait for their time."""

    def __init__(self, packets: Iterator[tuple[float, Any]]) -> None:
        self._packets = packets
        self._next = next(packets, None)

    def up_to(self, seconds: float) -> Iterator[Any]:
        """Yield the packets up to a time."""
        while self._next is not None and self._next[0] <= seconds:
            yield self._next[1]
            self._next = next(self._packets, None)
