"""Tests of ``edgeexpo run`` on videos: colours, rotation, times and sound."""

from __future__ import annotations

import json
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from edgeexpo.cli import main
from edgeexpo.imaging import clips
from edgeexpo.runtime import FrameFormat
from tests.support.tiny_bundle import write_bundle

RATE = 25


def scene(index, height=48, width=64):
    """Return smooth colours that change from frame to frame, HxWx3 uint8."""
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    level = 0.1 + 0.05 * index
    picture = np.stack([level + 0.4 * rows, 0.3 + 0.4 * columns, 0.8 - 0.4 * rows], axis=2)
    return (picture * 255).astype(np.uint8)


def film(path, count=6, size=(48, 64), rotation=0, sound=True, colorspace=1, full=False):
    """Write a lossless H.264 clip of :func:`scene` with a tone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"qp": "0"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.colorspace, context.color_range = colorspace, 2 if full else 1
        if sound:
            tone = container.add_stream("aac", rate=48000)
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(scene(index, *size), format="rgb24").reformat(
                format="yuv420p",
                dst_colorspace=colorspace,
                dst_color_range=2 if full else 1,
            )
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound:
            wave = np.sin(np.arange(48000 * count // RATE) * 0.05).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(np.repeat(wave, 2, axis=0), "fltp", "stereo")
            samples.sample_rate, samples.pts = 48000, 0
            container.mux(tone.encode(samples))
            container.mux(tone.encode(None))


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


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_bundle(tmp_path / "b", frames=("picture",), front=None, back=None)
    write_bundle(tmp_path / "pair")
    return tmp_path


@pytest.mark.parametrize(("colorspace", "full"), [(1, False), (6, False), (1, True)])
def test_colours_times_and_sound_stay(place, capsys, colorspace, full):
    film(place / "in.mp4", colorspace=colorspace, full=full)
    assert main(["run", "b", "in.mp4", "-o", "out.mp4", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["frames"], document["height"], document["width"]) == (6, 48, 64)
    before, times, sound = seen("in.mp4")
    after, new_times, new_sound = seen("out.mp4")
    assert new_times == pytest.approx(times)
    assert sound == new_sound > 2
    for old, new in zip(before, after, strict=True):
        # The bundle's network is a mean of 3x3 pixels, which leaves smooth colours unchanged.
        inside = np.s_[4:-4, 4:-4]
        assert np.abs(old[inside].astype(int) - new[inside]).mean() < 2


def test_a_clip_without_sound(place):
    film(place / "in.mkv", sound=False)
    assert main(["run", "b", "in.mkv", "-o", "out.mov"]) == 0
    pictures, _, sound = seen("out.mov")
    assert (len(pictures), sound) == (6, 0)
    assert main(["run", "b", "in.mkv", "-o", "out.mov"]) == 2
    assert main(["run", "b", "in.mkv", "-o", "out.mov", "--force"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pair", "in.mp4", "-o", "out.mp4"], "for networks from one picture to one; mean takes"),
        (["b", "in.mp4", "in.mp4", "-o", "out.mp4"], "name one video"),
        (["b", "in.mp4", "-o", "out.png"], "no name for a video; expected .mp4"),
        (["b", "bad.mp4", "-o", "out.mp4"], "bad.mp4 cannot be read as a video"),
        (["b", "none.mp4", "-o", "out.mp4"], "No such file"),
        (["b", "sound.mp4", "-o", "out.mp4"], "has no picture"),
        (["b", "in.mp4", "-o", "out.mp4", "--strength", "0.5"], "are for pictures"),
        (["b", "in.mp4", "-o", "out.mp4", "--keep-p3"], "are for pictures"),
    ],
)
def test_bad_requests_are_one_line(place, capsys, arguments, words):
    film(place / "in.mp4", count=2)
    (place / "bad.mp4").write_bytes(b"no video" * 99)
    with av.open("sound.mp4", "w") as container:
        tone = container.add_stream("aac", rate=48000)
        samples = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), "fltp", "stereo")
        samples.sample_rate, samples.pts = 48000, 0
        container.mux(tone.encode(samples))
        container.mux(tone.encode(None))
    capsys.readouterr()
    assert main(["run", *arguments]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert (out, err.count("\n")) == ("", 1)
    assert not list(place.glob("*out.*"))


def test_a_truncated_clip_is_an_error_and_leaves_nothing(place, capsys):
    film(place / "in.mkv", count=40)
    data = (place / "in.mkv").read_bytes()
    (place / "cut.mkv").write_bytes(data[: len(data) // 2])
    code = main(["run", "b", "cut.mkv", "-o", "out.mp4"])
    err = capsys.readouterr().err
    # A clip that was cut short ends early, or its last frame is refused. There is never a traceback
    # or half a file.
    assert code == 0 or (code == 2 and "cannot be read as a video" in err)
    assert not list(place.glob(".out*"))
    if code == 0:
        assert 0 < len(seen("out.mp4")[0]) < 40


@pytest.mark.parametrize(("angle", "clockwise"), [(0, 0), (-90, 90), (90, 270), (180, 180)])
def test_a_phone_held_upright_turns_its_frames(angle, clockwise):
    frame = SimpleNamespace(
        colorspace=2,
        color_range=1,
        rotation=angle,
        height=1080,
        format=SimpleNamespace(name="nv12"),
    )
    assert _format(frame) == FrameFormat("nv12", "bt709", rotation=clockwise)
