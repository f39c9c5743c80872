"""Video files, read frame by frame as upright-able YUV 4:2:0 with 8 bits, through PyAV."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.errors import MissingDependencyError, PictureError
from edgeexpo.frame_format import FrameFormat
from edgeexpo.imaging.display_matrix import turned_by
from edgeexpo.imaging.video_colours import (
    FULL,
    LIMITED,
    MATRIX_CODES,
    check_transfer,
    is_full_range,
    matrix_of,
)

_DIRECT = {"yuv420p": "i420", "yuvj420p": "i420", "nv12": "nv12"}
"""Layouts of FFmpeg's pixel formats that need no conversion: pixel format -> layout."""

_CONVERTED = "yuv420p"
"""Pixel format to which all others are converted."""

_BITS = 8
"""Bits a channel of frames that are read."""

_USUAL_RATE = Fraction(30)
"""Frames a second of a file that states none."""

METADATA_ERRORS = "surrogateescape"
"""How text of a file that is not UTF-8 is read and written: byte by byte, unchanged."""

Time = tuple[int, Fraction]
"""When a frame is shown: a number of units, and the unit in seconds."""


class Clip:
    """A video file.

    Attributes:
        path: The file.
        stream: PyAV's stream of the pictures. A cover picture does not count.
        frame_format: Format of the frames that :meth:`frames` gives.
        size: Height and width of the upright picture.
        pixel_aspect: Width of an upright picture's pixel over its height, or ``None`` where the
            file states none.
        primaries: Code of the primaries (ITU-T H.273).
        transfer: Code of the transfer (ITU-T H.273).
        rate: Mean number of frames a second.
        seconds: Length that the file declares, or ``None`` when it declares none.
        read_seconds: Length up to the end of the last frame that :meth:`frames` gave.
        count: Number of frames that the file declares, or 0 when it declares no number.
        losses: What a video of pictures with 8 bits and 4:2:0 and of sound cannot keep, in words.

    Raises:
        PictureError: The file is missing, damaged, has no picture, or is encoded for HDR displays.
        MissingDependencyError: PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._av = package()
        self.path = path
        self.read_seconds = 0.0
        with self.failures():
            # Not every file can be wound back, so the first frame is read from one of its own.
            with self._open() as trial:
                first = next(trial.decode(self._pictures(trial)), None)
            if first is None:
                raise PictureError(f"{path} has no frame that can be decoded; expected a video")
            self.container = self._open()
            try:
                self.stream = self._pictures(self.container)
                self._describe(first)
            except BaseException:
                self.container.close()
                raise

    @property
    def sound(self) -> list[Any]:
        """PyAV's sound tracks."""
        return list(self.container.streams.audio)

    def frames(self) -> Iterator[tuple[Time, list[np.ndarray]]]:
        """Yield the time and the planes of every frame.

        A frame that states no time is shown right after the frame before it.

        Raises:
            PictureError: The file is damaged, or the size of its pictures changes.
        """
        following, start = 0, None
        with self.failures():
            for index, frame in enumerate(self.container.decode(self.stream)):
                if (frame.height, frame.width) != self._stored:
                    raise PictureError(
                        f"{self.path} changes its size from {_size(*self._stored)} to "
                        f"{_size(frame.height, frame.width)} at frame {index}; expected one size: "
                        "cut it there"
                    )
                base = frame.time_base or self.stream.time_base
                shown = following if frame.pts is None else frame.pts
                following = shown + (frame.duration or max(1, round(1 / (self.rate * base))))
                start = shown if start is None else start
                # A file's length counts from its first frame or from zero, by the container.
                self.read_seconds = float(base * (following - min(start, 0)))
                yield (shown, base), _planes(self._plain(frame))

    def packets(self, track: Any) -> Iterator[Any]:
        """Yield the unchanged packets of a track."""
        with self.failures(), self._open() as container:
            for packet in container.demux(container.streams[track.index]):
                if packet.dts is not None:
                    yield packet

    def samples(self, track: Any) -> Iterator[Any]:
        """Yield the decoded frames of a sound track."""
        with self.failures(), self._open() as container:
            yield from container.decode(container.streams[track.index])

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        """Turn the failures of FFmpeg and of the format's checks into :class:`PictureError`."""
        try:
            yield
        except self._av.FFmpegError as error:
            reason = error.strerror or type(error).__name__
            raise PictureError(f"{self.path} cannot be read as a video: {reason}") from error
        except ValueError as error:
            raise PictureError(f"{self.path} cannot be used: {error}") from error

    def _open(self) -> Any:
        # A name with a colon, as in "12:30.mp4", would be taken for an address.
        return self._av.open(str(self.path.absolute()), metadata_errors=METADATA_ERRORS)

    def _pictures(self, container: Any) -> Any:
        if container.format.name.endswith(("_pipe", "image2", "tty")):
            raise PictureError(
                f"{self.path} is a picture or a text, not a video; name it by what it is"
            )
        cover = self._av.stream.Disposition.attached_pic
        moving = [s for s in container.streams.video if not s.disposition & cover]
        if not moving:
            raise PictureError(f"{self.path} has no picture; expected a video")
        return moving[0]

    def _describe(self, first: Any) -> None:
        check_transfer(first)
        height, width = self._stored = (first.height, first.width)
        if height % 2 or width % 2:
            raise PictureError(
                f"{self.path} is {_size(height, width)}; expected even height and width: crop it"
            )
        self.primaries, self.transfer = int(first.color_primaries), int(first.color_trc)
        self.rate = Fraction(self.stream.average_rate or _USUAL_RATE)
        self.count, self.seconds = int(self.stream.frames), _declared(self.stream)
        rotation, mirror = _orientation(first)
        rgb = first.format.is_rgb or first.format.has_palette
        self.frame_format = FrameFormat(
            _DIRECT.get(first.format.name, "i420"),
            matrix_of(first),
            is_full_range(first) and not rgb,
            "left",
            rotation,
            mirror,
        )
        aspect = self.stream.sample_aspect_ratio or None
        self.size, self.pixel_aspect = (height, width), aspect
        if rotation % 180:
            self.size, self.pixel_aspect = (width, height), aspect and 1 / aspect
        self.losses = [*_losses(first), *self._other_tracks()]

    def _other_tracks(self) -> Iterator[str]:
        known = {self.stream.index, *(track.index for track in self.sound)}
        for stream in self.container.streams:
            if stream.index not in known:
                is_cover = stream.disposition & self._av.stream.Disposition.attached_pic
                yield f"track {stream.index} ({'cover' if is_cover else stream.type})"

    def _plain(self, frame: Any) -> Any:
        """Return the frame in a pixel format whose planes can be used."""
        if frame.format.name in _DIRECT:
            return frame
        matrix = MATRIX_CODES[self.frame_format.matrix]
        return frame.reformat(
            format=_CONVERTED,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            dst_color_range=FULL if self.frame_format.full_range else LIMITED,
        )


def package() -> Any:
    """Return the package ``av``.

    Raises:
        MissingDependencyError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(
            "video needs PyAV, which is not installed; pip install 'edgeexpo[camera]'"
        ) from error
    return av


def _declared(stream: Any) -> float | None:
    """Return how long a stream lasts as its file declares it, in seconds."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    # Matroska keeps a track's length as text, as in "00:00:02.400000000".
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return 3600 * float(hours) + 60 * float(minutes) + float(seconds)
    except ValueError:
        return None


def _orientation(frame: Any) -> tuple[int, bool]:
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            return turned_by(bytes(data))
    return 0, False


def _losses(frame: Any) -> Iterator[str]:
    colours = [part for part in frame.format.components if not part.is_alpha]
    if (bits := max(part.bits for part in colours)) > _BITS:
        yield f"{bits} bits a channel"
    # Sizes of chroma planes are rounded up.
    if any(
        2 * part.width > frame.width + 1 or 2 * part.height > frame.height + 1
        for part in colours[1:]
    ):
        yield "colours at more than half the resolution"
    if len(colours) < len(frame.format.components):
        yield "transparency"
    if frame.interlaced_frame:
        yield "interlaced fields"


def _planes(frame: Any) -> list[np.ndarray]:
    planes: list[np.ndarray] = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        width = plane.width * (2 if frame.format.name == "nv12" and planes else 1)
        planes.append(rows[:, :width])
    return planes


def _size(height: int, width: int) -> str:
    return f"{height}x{width}"
