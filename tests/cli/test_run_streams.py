"""Tests of ``-`` and of addresses as pictures of ``edgeexpo run``."""

from __future__ import annotations

import io
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeexpo.cli import main
from edgeexpo.cli.run_streams import STREAM, standard_streams
from edgeexpo.errors import UsageError
from edgeexpo.imaging.files import read_picture, write_picture
from edgeexpo.imaging.radiance import read_radiance
from edgeexpo.spec import TensorSpec
from tests.support import gain_map_decoder
from tests.support.films import scene
from tests.support.tiny_bundle import write_bundle


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = {"frames": ("picture",), "front": None, "back": None}
    write_bundle(tmp_path / "b", **one)
    radiance = (TensorSpec("y_hat", transfer="linear"),)
    write_bundle(tmp_path / "r", kind="hdr", outputs=radiance, **one)
    write_picture("a.png", scene(0))
    return tmp_path


def given(monkeypatch, data):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_picture_goes_through_a_pipe(place):
    """Run another process, as a shell does."""
    command = [sys.executable, "-m", "edgeexpo.cli", "run", "b", "-", "-o", "-"]
    done = subprocess.run(
        command, input=(place / "a.png").read_bytes(), capture_output=True, check=True
    )
    (place / "piped.png").write_bytes(done.stdout)
    assert main(["run", "b", "a.png", "-o", "out.png"]) == 0
    np.testing.assert_array_equal(read_picture("piped.png"), read_picture("out.png"))
    assert b"standard-output.png: 64x48" in done.stderr


@pytest.mark.parametrize(
    ("flags", "name"),
    [([], "o.hdr"), (["--tonemap", "durand"], "o.png"), (["--gain-map"], "o.jpg")],
)
def test_radiance_is_sent_in_a_format_that_holds_it(place, capsysbinary, flags, name):
    assert main(["run", "r", "a.png", "-o", "-", *flags]) == 0
    (place / name).write_bytes(capsysbinary.readouterr().out)
    if name == "o.hdr":
        assert read_radiance(place / name).shape == (48, 64, 3)
    else:
        assert read_picture(name).shape == (48, 64, 3)
    if name == "o.jpg":
        assert gain_map_decoder.radiance((place / name).read_bytes()).shape == (48, 64, 3)


def test_json_of_a_picture_from_standard_input(place, capsys, monkeypatch):
    given(monkeypatch, (place / "a.png").read_bytes())
    assert main(["run", "b", "-", "-o", "out.png", "--json"]) == 0
    assert '"output": "out.png"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "data", "words"),
    [
        (["-", "-o", "o.png"], b"", "standard input is empty"),
        (["-", "-o", "o.png"], b"text", "standard-input is not a picture"),
        (["-", "-", "-o", "o.png"], b"", "- is given 2 times"),
        (["a.png", "-o", "-", "--json"], b"", "both need standard output"),
        (["https://a.b/c.jpg", "-o", "o.png"], b"", "https://a.b/c.jpg is an address; expected"),
        (["a.png", "-o", "s3://bucket/o.png"], b"", "s3://bucket/o.png is an address"),
    ],
)
def test_what_cannot_be_is_one_line(place, capsys, monkeypatch, arguments, data, words):
    given(monkeypatch, data)
    assert main(["run", "b", *arguments]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert err.count("\n") == 1
    assert "Traceback" not in out
    assert not list(place.glob("o.*"))


def test_a_failure_sends_nothing(place, capsysbinary):
    (place / "a.png").write_bytes(b"text")
    assert main(["run", "b", "a.png", "-o", "-"]) == 2
    assert capsysbinary.readouterr().out == b""


def test_a_terminal_gets_no_picture():
    terminal = SimpleNamespace(isatty=lambda: True)
    args = Namespace(input=[Path("a.png")], output=STREAM, stdout=terminal, json=False)
    with pytest.raises(UsageError, match="is a terminal"), standard_streams(args, None):
        pytest.fail("it ran")
