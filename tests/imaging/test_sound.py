"""Tests of sound on its way from one video to another."""

from __future__ import annotations

import contextlib

import av
import numpy as np
import pytest

from edgeexpo.imaging.clip_writer import ClipWriter
from edgeexpo.imaging.clips import Clip
from edgeexpo.imaging.sound import tracks
from tests.support.films import film


def copy(source, target):
    """Write the pictures and the sound of a clip into another file."""
    with contextlib.closing(Clip(source)) as clip:
        sound = tracks(clip, target.suffix)
        with ClipWriter(target, clip, sound) as writer:
            for time, planes in clip.frames():
                writer.write(
                    np.concatenate([plane.ravel() for plane in planes]).reshape(72, 64), time
                )
    return sound


def packets(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def heard(path):
    """Return the first channel of the sound, as float samples, and when it begins and ends."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray().reshape(-1)[: frame.samples] for frame in frames])
    ends = [(f.time, f.time + f.samples / f.sample_rate) for f in frames]
    return samples, ends[0][0], ends[-1][1]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("codec", ["aac", "ac3", "libmp3lame"])
def test_sound_that_fits_is_copied_bit_for_bit(tmp_path, codec, suffix):
    film(tmp_path / "a.mkv", sound=codec)
    (track,) = copy(tmp_path / "a.mkv", tmp_path / f"b{suffix}")
    assert track.copied
    assert packets(tmp_path / "a.mkv") == packets(tmp_path / f"b{suffix}")


@pytest.mark.parametrize("codec", ["libopus", "flac"])
def test_other_sound_is_coded_anew_at_its_time(tmp_path, codec):
    film(tmp_path / "a.mkv", count=25, sound=codec)
    (track,) = copy(tmp_path / "a.mkv", tmp_path / "b.mov")
    assert (track.copied, track.kept) == (False, True)
    old, *when = heard(tmp_path / "a.mkv")
    new, *then = heard(tmp_path / "b.mov")
    assert then == pytest.approx(when, abs=0.05)
    assert new.std() / new.max() == pytest.approx(old.std() / old.max(), rel=0.1)


def test_every_track_is_kept(tmp_path):
    film(tmp_path / "a.mkv")
    with av.open(str(tmp_path / "a.mkv")) as source, av.open(str(tmp_path / "c.mkv"), "w") as out:
        streams = [(0, out.add_stream_from_template(source.streams[0]))]
        streams += [(1, out.add_stream_from_template(source.streams[1])) for _ in range(2)]
        streams[2][1].metadata["language"] = "deu"
        for packet in list(source.demux()):
            for index, stream in streams:
                if packet.dts is not None and packet.stream_index == index:
                    packet.stream = stream
                    out.mux(packet)
    copy(tmp_path / "c.mkv", tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert [s.metadata["language"] for s in container.streams.audio] == ["und", "deu"]
