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


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        draw_front(tmp_path / "none" / "front.png", "net", ROWS)


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"edgeexpo\[train\]"):
        draw_front(tmp_path / "front.png", "net", ROWS)
