"""Reading ``.tflite`` files: their content, and files that are not LiteRT models."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.export.lowering import lower
from edgeexpo.inspection.tflite import TfliteGraph, read_tflite
from edgeexpo.program.capture import capture


@pytest.mark.parametrize("data", [b"", b"1234TFL3", b"1234TFL3" + b"garbage" * 40, bytes(64)])
def test_garbage_is_no_model(tmp_path, data):
    (tmp_path / "net.tflite").write_bytes(data)
    with pytest.raises(ValueError, match=r"magic number|follows no schema"):
        read_tflite(tmp_path / "net.tflite")


@pytest.fixture(scope="module")
def file(residual, tensors, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tflite")
    return folder / lower(capture(residual, *tensors, (32, 32)), "litert", "net", folder).file


@pytest.mark.slow
def test_operators_and_their_tensors_are_read(file):
    graph = read_tflite(file)
    weighted = [o for o in graph.operators if o.name == "Conv2d"]
    assert [o.reads[1].shape for o in weighted] == [(8, 3, 3, 3), (8, 3, 3, 8), (3, 3, 3, 8)]
    assert all(o.reads[1].constant and not o.integer and not o.converts for o in weighted)


@pytest.mark.slow
def test_a_changed_byte_is_a_graph_or_a_typed_error(file, tmp_path_factory):
    data, path = file.read_bytes(), tmp_path_factory.mktemp("changed") / "net.tflite"

    @settings(deadline=None)
    @given(position=st.integers(0, len(data) - 1), value=st.integers(0, 255))
    def check(position: int, value: int) -> None:
        changed = bytearray(data)
        changed[position] = value
        path.write_bytes(changed)
        with contextlib.suppress(ValueError):
            assert isinstance(read_tflite(path), TfliteGraph)

    check()
