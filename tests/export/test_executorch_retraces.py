"""Lowering to ExecuTorch gives the same file whether or not unchanged graphs are traced again."""

from __future__ import annotations

import contextlib

import pytest
from executorch.exir.pass_base import ExportPass
from torch.fx.traceback import NodeSource

from edgeexpo.export import executorch_export, executorch_retraces


@pytest.mark.parametrize("name", ["program", pytest.param("quantized", marks=pytest.mark.slow)])
def test_the_file_is_the_same_and_fewer_graphs_are_traced(name, request, tmp_path, monkeypatch):
    program = request.getfixturevalue(name)
    executorch_export.export_executorch(program, tmp_path / "first.pte")  # traces its patterns once
    few = _traces(program, tmp_path / "few.pte", monkeypatch)
    monkeypatch.setattr(
        executorch_retraces, "changed_graphs_alone_are_traced", contextlib.nullcontext
    )
    every = _traces(program, tmp_path / "every.pte", monkeypatch)
    assert (tmp_path / "few.pte").read_bytes() == (tmp_path / "every.pte").read_bytes()
    assert few < 0.7 * every


def test_everything_is_as_before_after_the_block():
    call = ExportPass.call
    with executorch_retraces.changed_graphs_alone_are_traced():
        assert ExportPass.call is not call
    assert ExportPass.call is call
    assert not hasattr(NodeSource, "__deepcopy__")


def _traces(program, path, monkeypatch) -> int:
    """Lower a program and return the number of graphs that passes trace."""
    traces, trace = [], executorch_retraces._call

    def counted(*args):
        traces.append(args)
        return trace(*args)

    with monkeypatch.context() as patch:
        patch.setattr(ExportPass, "call", counted)
        patch.setattr(executorch_retraces, "_call", counted)
        executorch_export.export_executorch(program, path)
    return len(traces)
