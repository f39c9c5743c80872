"""``edgeexpo run BUNDLE clip.mp4 -o out.mp4``: run the network on every frame of a video."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeexpo.cli.output import emit, human_ms
from edgeexpo.errors import MissingDependencyError, PictureError, UsageError
from edgeexpo.progress import track
from edgeexpo.runtime import FrameFormat, Session
from edgeexpo.runtime.frames import Frame
from edgeexpo.spec import ModelSpec
from edgeexpo.writing import writing

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")
"""Suffixes of videos that can be written."""

QUALITY = "16"
"""Constant rate factor of x264 at which no loss is visible."""

_DIRECT = {"yuv420p": "i420", "yuvj420p": "i420", "nv12": "nv12"}
"""Layouts of FFmpeg's pixel formats that need no conversion: pixel format -> layout."""

_MATRICES = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}
"""Colour matrices of FFmpeg's colour space codes: code -> matrix."""

_CODES = {"bt709": 1, "bt601": 6, "bt2020": 9}
"""Colour space codes of FFmpeg that are written: matrix -> code."""

_FULL = 2
"""FFmpeg's code for the full range of values, 0 to 255."""


class Clip:
    """A video file, read frame by frame as YUV 4:2:0.

    Attributes:
        frame_format: Format of the frames that :meth:`frames` gives.
        size: Height and width of the upright picture.
        count: Number of frames that the file declares, or 0 when it declares no number.

    Raises:
        PictureError: The file is missing, damaged, or has no picture.
        MissingDependencyError: PyAV is not installed.
    """

    def __init__(self, path: Path) -> None:
        self._av = _package()
        self._path = path
        with self._failures():
            self._container = self._av.open(str(path))
            if not self._container.streams.video:
                raise PictureError(f"{path} has no picture; expected a video")
            self.stream = self._container.streams.video[0]
            first = next(self._container.decode(self.stream), None)
            self._container.seek(0)
        if first is None:
            raise PictureError(f"{path} has no frame that can be decoded; expected a video")
        self.frame_format = _format(first)
        turned = self.frame_format.rotation % 180 == 90
        self.size = (first.width, first.height) if turned else (first.height, first.width)
        self.count = int(self.stream.frames)
        if first.height % 2 or first.width % 2:
            raise PictureError(
                f"{path} is {first.height}x{first.width}; expected even height and width"
            )

    @property
    def sound(self) -> Any | None:
        """The first sound track, or ``None`` for a silent video."""
        tracks = self._container.streams.audio
        return tracks[0] if tracks else None

    def frames(self) -> Iterator[tuple[Any, Frame]]:
        """Yield every frame as FFmpeg's own object, together with its planes."""
        with self._failures():
            for frame in self._container.decode(self.stream):
                direct = frame.format.name in _DIRECT
                plain = frame if direct else frame.reformat(format="yuv420p")
                yield frame, _planes(plain)

    def packets(self, track: Any) -> Iterator[Any]:
        """Yield the unchanged packets of a track."""
        with self._av.open(str(self._path)) as container:
            for packet in container.demux(container.streams[track.index]):
                if packet.dts is not None:
                    yield packet

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except self._av.FFmpegError as error:
            reason = error.strerror or type(error).__name__
            raise PictureError(f"{self._path} cannot be read as a video: {reason}") from error


def run(args: argparse.Namespace, spec: ModelSpec) -> int:
    """Run the bundle on one video and return exit code 0.

    Raises:
        UsageError: The network does not map one picture to one, or an option is not for videos.
        PictureError, OutputError: As :class:`Clip` and :func:`convert_video`.
    """
    from edgeexpo.cli.run_input import made_by, open_session
    from edgeexpo.runtime.stages import gives_picture

    if len(spec.frames) != 1 or len(args.input) != 1 or not gives_picture(spec):
        raise UsageError(
            f"a video is for networks from one picture to one; {spec.name} takes "
            f"{', '.join(spec.frames)} and gives {spec.outputs[0].name}: name one video, and a "
            "network such as exponet"
        )
    if args.tonemap or args.no_fuse or args.keep_p3 or args.strength != 1:
        raise UsageError(
            "--tonemap, --no-fuse, --keep-p3 and --strength are for pictures; leave them out"
        )
    check_video(args.output, args.force)
    clip = Clip(args.input[0])
    start = time.perf_counter()
    with (
        contextlib.closing(clip),
        open_session(
            args,
            frames=clip.frame_format,
            output=output_format(clip.frame_format),
        ) as session,
    ):
        count = convert_video(args.output, session, clip)
        artifact, engine = session.artifact, session.engine_name
    seconds = time.perf_counter() - start
    height, width = clip.size
    document = {
        "output": str(args.output),
        "width": width,
        "height": height,
        "frames": count,
        **made_by(session, engine),
        "seconds": round(seconds, 4),
    }
    text = (
        f"{args.output}: {count} frames of {width}x{height}, {artifact.file} ({artifact.status}) "
        f"in {engine}, {human_ms(seconds * 1000 / max(count, 1))} a frame"
    )
    emit(args, document, text)
    return 0


def convert_video(output: Path, session: Session, clip: Clip) -> int:
    """Run every frame through the session and write the video. The sound is copied.

    Args:
        output: The file to write. An existing file is replaced.
        session: A session opened with ``clip``'s frame format, whose output is upright ``i420``.
        clip: The video to read.

    Returns:
        The number of frames.

    Raises:
        PictureError: A frame cannot be decoded.
        OutputError: The file cannot be written. An existing file stays unchanged.
    """
    part = output.with_name(f".{output.stem}.part{output.suffix}")
    try:
        with writing(output):
            count = asyncio.run(_convert(part, session, clip))
            part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    return count


def output_format(frame_format: FrameFormat) -> FrameFormat:
    """Return the format of the written pictures: the clip's colours in upright ``i420``."""
    return FrameFormat("i420", frame_format.matrix, frame_format.full_range, "left")


def check_video(output: Path, force: bool) -> None:
    """Refuse an output that :func:`convert_video` cannot or may not write.

    Raises:
        UsageError: The suffix is not one of a video, or the file exists and ``force`` is false.
    """
    if output.suffix.lower() not in VIDEO_SUFFIXES:
        raise UsageError(f"{output} is no name for a video; expected {', '.join(VIDEO_SUFFIXES)}")
    if output.exists() and not force:
        raise UsageError(f"{output} exists; use --force to replace it")


async def _convert(path: Path, session: Session, clip: Clip) -> int:
    times: list[tuple[Any, Any]] = []

    def source() -> Iterator[Frame]:
        for frame, planes in track(clip.frames(), "Frames", clip.count or None):
            times.append((frame.pts, frame.time_base))
            yield planes

    count = 0
    with _Writer(path, clip) as writer:
        async for result in session.stream(source(), drop="none"):
            writer.write(result.frame, *times[result.index])
            count += 1
    return count


class _Writer:
    """Writer of H.264 in the container of the file's suffix, with the clip's sound."""

    def __init__(self, path: Path, clip: Clip) -> None:
        self._av = _package()
        self._clip = clip
        self._container = self._av.open(str(path), "w")
        rate = clip.stream.average_rate or 30
        self._stream = self._container.add_stream("libx264", rate=rate, options={"crf": QUALITY})
        self._stream.height, self._stream.width = clip.size
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.colorspace = _CODES[clip.frame_format.matrix]
        context.color_range = _FULL if clip.frame_format.full_range else 1
        context.time_base = clip.stream.time_base
        self._sound = None
        if clip.sound is not None:
            self._sound = self._container.add_stream_from_template(clip.sound)

    def write(self, picture: np.ndarray, pts: int, time_base: Any) -> None:
        """Add one picture in i420: an array of 3H/2 rows and W columns."""
        frame = self._av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = pts, time_base
        frame.colorspace = self._stream.codec_context.colorspace
        frame.color_range = self._stream.codec_context.color_range
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._container.mux(self._stream.encode(None))
            if self._sound is not None:
                for packet in self._clip.packets(self._clip.sound):
                    packet.stream = self._sound
                    self._container.mux(packet)
        self._container.close()


def _format(frame: Any) -> FrameFormat:
    """Return the frame format of a decoded frame.

    Where the frame names no colour matrix, its height decides, as in players: BT.709 from 720 rows
    on, BT.601 below.
    """
    matrix = _MATRICES.get(int(frame.colorspace))
    if matrix is None:
        matrix = "bt709" if frame.height >= 720 else "bt601"
    full = int(frame.color_range) == _FULL or frame.format.name.startswith("yuvj")
    layout = _DIRECT.get(frame.format.name, "i420")
    # FFmpeg counts the angle counter-clockwise, FrameFormat clockwise.
    return FrameFormat(layout, matrix, full, "left", -round(frame.rotation / 90) * 90 % 360)


def _planes(frame: Any) -> list[np.ndarray]:
    planes: list[np.ndarray] = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        width = plane.width * (2 if frame.format.name == "nv12" and planes else 1)
        planes.append(rows[:, :width])
    return planes


def _package() -> Any:
    try:
        import av
    except ImportError as error:
        raise MissingDependencyError(
            "video needs PyAV, which is not installed; pip install 'edgeexpo[camera]'"
        ) from error
    return av
