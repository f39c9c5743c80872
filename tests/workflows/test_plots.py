"""Plots, which are written as PNG or not at all."""

from __future__ import annotations

import sys

import pytest

from edgeexpo.errors import MissingDependencyError, OutputError
from edgeexpo.workflows.plots import draw_front

ROWS = [
    {"label": "plain", "psnr": 42.0, "ms": 10.0, "bytes": 100, "front": True, "winner": False},
    {"label": "first", "psnr": 45.0, "ms": 12.0, "bytes": 140, "front": True, "winner": True},
    {"label": "worse", "psnr": 41.0, "ms": 13.0, "bytes": 140, "front": False, "winner": False},
]


def test_the_front_is_drawn(tmp_path):
    path = tmp_path / "front.png"
    draw_front(path, "net, onnx, 64x64", ROWS)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_missing_folder_is_made(tmp_path):
    draw_front(tmp_path / "new" / "front.png", "net", ROWS)
    assert (tmp_path / "new" / "front.png").is_file()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a part of the path is a file"):
        draw_front(tmp_path / "file" / "front.png", "net", ROWS)


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"edgeexpo\[train\]"):
        draw_front(tmp_path / "front.png", "net", ROWS)
