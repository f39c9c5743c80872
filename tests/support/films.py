"""Video files of smooth colours, made with PyAV."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np

RATE = 25


def scene(index, height=48, width=64):
    """Return smooth colours that change from frame to frame, HxWx3 uint8."""
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    level = 0.1 + 0.05 * index
    picture = np.stack([level + 0.4 * rows, 0.3 + 0.4 * columns, 0.8 - 0.4 * rows], axis=2)
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)


def film(
    path,
    count=6,
    size=(48, 64),
    sound="aac",
    colorspace=1,
    full=False,
    codec="libx264",
    pixels="yuv420p",
    tags=(2, 2),
    aspect=None,
    times=None,
    cover=False,
    interlaced=False,
):
    """Write a clip of :func:`scene` with a tone.

    Args:
        path: The file; its suffix decides the container.
        count: Number of frames.
        size: Height and width.
        sound: Name of the sound's encoder, or ``None``.
        colorspace: FFmpeg's code of the matrix; 2 leaves it unstated.
        full: Whether the whole range of codes is used.
        codec: Name of the encoder of the pictures. H.264 is lossless.
        pixels: Pixel format.
        tags: Codes of the primaries and of the transfer.
        aspect: Aspect of a pixel.
        times: Time of every frame in units of 1/25 s.
        cover: Whether a still picture comes first.
        interlaced: Whether the pictures are stored as fields.
    """
    options = {"qp": "0"} if codec == "libx264" else {}
    if interlaced:
        options["flags"] = "+ilme+ildct"
    with av.open(str(path), "w") as container:
        if cover:
            still = container.add_stream("mjpeg", rate=1)
            still.height, still.width, still.pix_fmt = 32, 32, "yuvj420p"
            still.disposition = av.stream.Disposition.attached_pic
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        context = stream.codec_context
        yuv = pixels.startswith(("yuv", "nv"))
        if yuv:
            context.colorspace, context.color_range = colorspace, 2 if full else 1
        context.color_primaries, context.color_trc = tags
        context.time_base = Fraction(1, RATE)
        if aspect:
            context.sample_aspect_ratio = aspect
        tone = container.add_stream(sound, rate=48000) if sound else None
        if cover:
            _add(container, still, scene(9, 32, 32), {"format": "yuvj420p"}, 0, Fraction(1))
        matrix = colorspace if colorspace != 2 else 5
        changes = {"dst_colorspace": matrix, "dst_color_range": 2 if full else 1} if yuv else {}
        for index in range(count):
            pts = times[index] if times else index
            changes["format"] = pixels
            _add(container, stream, scene(index, *size), changes, pts, Fraction(1, RATE))
        container.mux(stream.encode(None))
        if tone:
            wave = np.sin(np.arange(48000 * count // RATE) * 0.05).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(np.repeat(wave, 2, axis=0), "fltp", "stereo")
            samples.sample_rate, samples.pts = 48000, 0
            container.mux(tone.encode(samples))
            container.mux(tone.encode(None))


def _add(container, stream, picture, changes, pts, base):
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(**changes)
    frame.pts, frame.time_base = pts, base
    container.mux(stream.encode(frame))


def turn(path, matrix):
    """Write a display matrix ``a b c d`` into an MP4 file's first track header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    a, b, c, d = (round(value * 65536) for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def seen(path):
    """Read a video: its frames as RGB, their times in seconds and the number of sound packets."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        pictures = [frame.to_ndarray(format="rgb24") for frame in frames]
        times = [float(frame.pts * frame.time_base) for frame in frames]
    with av.open(str(path)) as container:
        tracks = container.streams.audio
        packets = [p for p in container.demux(tracks[0]) if p.size] if tracks else []
    return pictures, times, len(packets)
