"""The child that times a program answers every failure in one line, and prints no trace."""

from __future__ import annotations

import io
import json
import sys

import pytest

from edgeexpo.errors import BundleError, EngineError
from edgeexpo.spec import ModelSpec, TensorSpec, to_json
from edgeexpo.workflows import latency_child

SPEC = ModelSpec("net", "test", ("y0",), (TensorSpec("y0"),), (TensorSpec("y"),), 1)


def answers(monkeypatch, capsys, path, lines=1):
    job = {"engine": None, "path": str(path), "spec": to_json(SPEC), "size": [8, 8], "threads": 1}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(job) + "\n" * lines))
    code = latency_child.serve_timing()
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, [json.loads(line) for line in out.splitlines()]


def test_a_damaged_program_is_named(monkeypatch, capsys, tmp_path):
    (tmp_path / "reference.pt2").write_bytes(b"nothing")
    code, (answer,) = answers(monkeypatch, capsys, tmp_path / "reference.pt2")
    assert code == BundleError.exit_code
    assert "reference.pt2 is not a readable program" in answer["message"]


def test_whatever_a_program_raises_is_one_line(monkeypatch, capsys, tmp_path):
    def fail() -> None:
        raise KeyError("weight\nsecond line")

    monkeypatch.setattr(latency_child, "prepare_step", lambda _: fail)
    code, (ready, answer) = answers(monkeypatch, capsys, tmp_path / "net.pt2", lines=2)
    assert ready == {"ready": True}
    assert code == EngineError.exit_code
    assert answer["error"] == "EngineError"
    assert answer["message"].startswith("timing net.pt2 failed: KeyError: ")
    assert "\n" not in answer["message"]


@pytest.fixture(autouse=True)
def _threads():
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
