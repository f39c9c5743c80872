"""Tests of ``edgeexpo run`` on videos: colours, rotation, times and sound."""

from __future__ import annotations

import json
from fractions import Fraction

import av
import numpy as np
import pytest

from edgeexpo.cli import main
from edgeexpo.errors import EngineError
from tests.support.films import film, seen, turn
from tests.support.tiny_bundle import write_bundle


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
    film(place / "in.mkv", sound=None)
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
        assert "cut.mkv is truncated: " in err
        assert 0 < len(seen("out.mp4")[0]) < 40


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, 1), (0, 1, 1, 0)])
def test_turned_and_mirrored_clips_are_written_upright(place, matrix):
    film(place / "in.mp4", count=2, sound=None)
    before, _, _ = seen("in.mp4")
    turn(place / "in.mp4", matrix)
    assert main(["run", "b", "in.mp4", "-o", "out.mp4"]) == 0
    after, _, _ = seen("out.mp4")
    expected = {
        (0, 1, -1, 0): lambda picture: np.rot90(picture, -1),
        (-1, 0, 0, 1): lambda picture: picture[:, ::-1],
        (0, 1, 1, 0): lambda picture: picture.swapaxes(0, 1),
    }[matrix]
    for old, new in zip(before, after, strict=True):
        inside = np.s_[4:-4, 4:-4]
        assert np.abs(expected(old.astype(int))[inside] - new[inside]).mean() < 2


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("tags", [(1, 1), (12, 1), (9, 14), (5, 6), (2, 2)])
def test_primaries_transfer_and_pixel_aspect_are_kept(place, tags, suffix):
    film(place / "in.mkv", count=2, sound=None, tags=tags, aspect=Fraction(4, 3))
    assert main(["run", "b", "in.mkv", "-o", f"out.{suffix}"]) == 0
    with av.open(f"out.{suffix}") as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (int(context.color_primaries), int(context.color_trc)) == tags
        assert stream.sample_aspect_ratio == Fraction(4, 3)


def test_metadata_that_are_no_unicode_are_kept(place):
    film(place / "in.mkv", count=2, sound=None)
    with av.open("in.mkv") as source, av.open("a.mkv", "w") as target:
        target.metadata["title"] = "Z_rich"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    (place / "in.mkv").write_bytes((place / "a.mkv").read_bytes().replace(b"Z_rich", b"Z\xfcrich"))
    assert main(["run", "b", "in.mkv", "-o", "out.mkv"]) == 0
    assert b"Z\xfcrich" in (place / "out.mkv").read_bytes()


def test_a_folder_that_is_missing_is_said(place, capsys):
    film(place / "in.mkv", count=2)
    assert main(["run", "b", "in.mkv", "-o", "missing/out.mp4"]) == 1
    assert "cannot write missing/out.mp4: No such file" in capsys.readouterr().err


def test_metadata_of_the_video_are_kept(place):
    film(place / "plain.mkv", count=2, sound=None)
    with av.open("plain.mkv") as source, av.open("in.mp4", "w") as target:
        target.metadata.update(title="a day", creation_time="2024-05-01T10:00:00.000000Z")
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert main(["run", "b", "in.mp4", "-o", "out.mp4"]) == 0
    with av.open("out.mp4") as container:
        assert container.metadata["title"] == "a day"
        assert container.metadata["creation_time"].startswith("2024-05-01T10:00:00")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"codec": "ffv1", "pixels": "yuva420p"}, "out.mov will not keep transparency"),
        ({"codec": "ffv1", "pixels": "yuv422p10le"}, "10 bits a channel, colours at more"),
        ({"interlaced": True}, "will not keep interlaced fields"),
        ({"sound": "libopus"}, "will hold the sound as AAC, because .mov cannot hold opus"),
    ],
)
def test_what_is_not_kept_is_said_before_the_work(place, capsys, monkeypatch, changes, words):
    film(place / "in.mkv", count=2, **{"sound": None, **changes})

    def stop(*_):
        raise EngineError("the work begins")

    monkeypatch.setattr("edgeexpo.cli.video.convert_video", stop)
    assert main(["run", "b", "in.mkv", "-o", "out.mov"]) == 1
    first, last = capsys.readouterr().err.splitlines()
    assert words in first
    assert "the work begins" in last


def test_a_clip_that_needs_no_word_gets_none(place, capsys):
    film(place / "in.mp4", count=2)
    assert main(["run", "b", "in.mp4", "-o", "out.mp4"]) == 0
    assert capsys.readouterr().err == ""


def test_the_input_is_never_replaced(place, capsys):
    film(place / "in.mp4", count=2)
    before = (place / "in.mp4").read_bytes()
    assert main(["run", "b", "in.mp4", "-o", "in.mp4", "--force"]) == 2
    assert "is an input" in capsys.readouterr().err
    assert (place / "in.mp4").read_bytes() == before
