"""``edgeexpo run BUNDLE clip.mp4 -o out.mp4``: run the network on every frame of a video."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeexpo.cli.output import emit, human_ms
from edgeexpo.errors import UsageError
from edgeexpo.imaging.clip_writer import ClipWriter, written_format
from edgeexpo.imaging.clips import Clip, Time
from edgeexpo.imaging.sound import CONTAINERS, Track, tracks
from edgeexpo.progress import note, track
from edgeexpo.runtime import Session
from edgeexpo.runtime.frames import Frame
from edgeexpo.spec import ModelSpec

_TOLERANCE = 0.5
"""Seconds by which a video may end before its file says, without being called truncated."""

VIDEO_SUFFIXES = tuple(CONTAINERS)
"""Suffixes of videos that can be written."""


def run(args: argparse.Namespace, spec: ModelSpec) -> int:
    """Run the bundle on one video and return exit code 0.

    Raises:
        UsageError: The network does not map one picture to one, or an option is not for videos.
        PictureError, OutputError: As :class:`~edgeexpo.imaging.clips.Clip` and
            :func:`convert_video`.
    """
    from edgeexpo.cli.run_input import made_by, open_session
    from edgeexpo.runtime.stages import gives_picture

    if len(spec.frames) != 1 or len(args.input) != 1 or not gives_picture(spec):
        raise UsageError(
            f"a video is for networks from one picture to one; {spec.name} takes "
            f"{', '.join(spec.frames)} and gives {spec.outputs[0].name}: name one video, and a "
            "network such as exponet"
        )
    if args.tonemap or args.gain_map or args.no_fuse or args.keep_p3 or args.strength != 1:
        raise UsageError(
            "--tonemap, --gain-map, --no-fuse, --keep-p3 and --strength are for pictures; leave "
            "them out"
        )
    check_video(args.input[0], args.output, args.force)
    clip = Clip(args.input[0])
    start = time.perf_counter()
    with contextlib.closing(clip):
        sound = tracks(clip, args.output.suffix.lower())
        note_losses(args.output, clip, sound)
        with open_session(
            args, frames=clip.frame_format, output=written_format(clip.frame_format)
        ) as session:
            count = convert_video(args.output, session, clip, [t for t in sound if t.kept])
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


def convert_video(output: Path, session: Session, clip: Clip, sound: Sequence[Track]) -> int:
    """Run every frame through the session and write the video.

    Args:
        output: The file to write. An existing file is replaced.
        session: A session opened with ``clip``'s frame format, whose output is upright ``i420``.
        clip: The video to read.
        sound: Tracks of the clip that are written as well.

    Returns:
        The number of frames.

    Raises:
        PictureError: A frame cannot be decoded.
        OutputError: The file cannot be written. An existing file stays unchanged.
    """
    return asyncio.run(_convert(output, session, clip, sound))


def note_losses(output: Path, clip: Clip, sound: Sequence[Track]) -> None:
    """Say on stderr what of a video the result will not keep."""
    unknown = [f"track {track.source.index} (sound)" for track in sound if not track.kept]
    if losses := [*clip.losses, *unknown]:
        note(f"edgeexpo: {output} will not keep {', '.join(losses)}")
    if anew := [track.name for track in sound if track.kept and not track.copied]:
        note(
            f"edgeexpo: {output} will hold the sound as AAC, because {output.suffix} cannot hold "
            f"{', '.join(anew)}"
        )


def check_video(source: Path, output: Path, force: bool) -> None:
    """Refuse an output that :func:`convert_video` cannot or may not write.

    Raises:
        UsageError: The suffix is not one of a video, the output is the input, or the output exists
            and ``force`` is false.
    """
    if output.suffix.lower() not in VIDEO_SUFFIXES:
        raise UsageError(f"{output} is no name for a video; expected {', '.join(VIDEO_SUFFIXES)}")
    if output.exists() and source.exists() and output.samefile(source):
        raise UsageError(f"{output} is an input; choose another output with -o")
    if output.exists() and not force:
        raise UsageError(f"{output} exists; use --force to replace it")


async def _convert(output: Path, session: Session, clip: Clip, sound: Sequence[Track]) -> int:
    times: list[Time] = []

    def source() -> Iterator[Frame]:
        for shown, planes in track(clip.frames(), "Frames", clip.count or None):
            times.append(shown)
            yield planes

    count = 0
    with ClipWriter(output, clip, sound) as writer:
        async for result in session.stream(source(), drop="none"):
            writer.write(result.frame, times[result.index])
            count += 1
    if clip.seconds is not None and clip.read_seconds < clip.seconds - _TOLERANCE:
        note(
            f"edgeexpo: {clip.path} is truncated: {clip.read_seconds:.1f} s of "
            f"{clip.seconds:.1f} s could be read"
        )
    return count
