"""Engines on another machine: equal to engines here, whatever breaks in between."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import (
    EngineError,
    HostError,
    LostConnectionError,
    MissingDependencyError,
)
from edgeexpo.remote.engine import RemoteEngine
from edgeexpo.remote.host import clock_line
from edgeexpo.remote.session import load_on
from edgeexpo.runtime import load
from edgeexpo.runtime.engines.base import open_engine
from edgeexpo.spec import ModelSpec, TensorSpec
from edgeexpo.targets import target_named
from tests.remote.test_connection import gone

ONNX = target_named("onnx")
INPUTS = {"y0": np.random.default_rng(0).random((1, 3, 33, 47), np.float32)}


@pytest.fixture
def opened(bundle):
    return Bundle.open(bundle)


@pytest.fixture
def engine(child, opened):
    made = RemoteEngine(child, child.runner(ONNX), opened.manifest.model)
    made.load(opened.file("mean.fp32.onnx"))
    yield made
    made.close()


def test_a_run_gives_what_the_engine_gives_here(engine, opened):
    here = open_engine("onnx", opened.file("mean.fp32.onnx"), opened.manifest.model)
    found, expected = engine.run(INPUTS), here.run(INPUTS)
    assert list(found) == ["y_hat"]
    np.testing.assert_array_equal(found["y_hat"], expected["y_hat"])
    assert engine.ms > 0
    here.close()


def test_a_run_survives_the_end_of_the_program_there(engine, child):
    first = engine.run(INPUTS)
    os.kill(child.facts["pid"], signal.SIGKILL)
    np.testing.assert_array_equal(engine.run(INPUTS)["y_hat"], first["y_hat"])
    assert child.connections == 2


def test_an_artefact_is_sent_once(child, opened, engine, monkeypatch):
    asked = []
    ask = child.ask
    monkeypatch.setattr(child, "ask", lambda r, *rest: asked.append(r["verb"]) or ask(r, *rest))
    other = RemoteEngine(child, ONNX.runner, opened.manifest.model)
    other.load(opened.file("mean.fp32.onnx"))
    assert asked == ["find", "load"]


def test_a_second_loss_is_a_typed_error(engine, child, monkeypatch):
    ask, kills = child.ask, []

    def killed(request, *rest):
        if request["verb"] == "run":
            kills.append(request)
            os.kill(child._connection.pid, signal.SIGKILL)
        return ask(request, *rest)

    monkeypatch.setattr(child, "ask", killed)
    with pytest.raises(LostConnectionError, match="a second try failed as well"):
        engine.run(INPUTS)
    assert len(kills) == 2


def test_a_killed_engine_blames_no_artefact(engine, child, monkeypatch):
    """A process that somebody killed says nothing about the artefact that it ran."""
    ask = child.ask

    def killed(request, *rest):
        answer = ask(request, *rest)
        if request["verb"] == "load":
            os.kill(answer[0]["worker"], signal.SIGKILL)
        return answer

    monkeypatch.setattr(child, "ask", killed)
    child.close()
    with pytest.raises(LostConnectionError, match="was killed"):
        engine.run(INPUTS)


def test_closing_leaves_no_process(engine, child):
    pid = child.facts["pid"]
    load_answer, _ = child.ask(
        {
            "verb": "load",
            "sha256": engine._sha256,
            "name": "mean.fp32.onnx",
            "engine": ONNX.runner.engine,
            "spec": {"name": "n", "task": "", "frames": [], "inputs": [], "outputs": [], "halo": 1},
            "options": {},
            "limit": 30,
        },
        60,
    )
    child.close()
    assert gone(pid)
    assert gone(load_answer["worker"])


@pytest.fixture
def interruptible():
    """Let SIGINT raise, which shells ignore for programs that they start in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_during_a_run_leaves_no_late_answer(engine, child):
    first = engine.run(INPUTS)
    main = threading.main_thread().ident
    other = {"y0": INPUTS["y0"] + 1}
    os.kill(child.facts["pid"], signal.SIGSTOP)
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        engine.run(other)
    timer.join()
    np.testing.assert_array_equal(engine.run(INPUTS)["y_hat"], first["y_hat"])


def test_a_refused_artefact_is_the_engines_own_error(child, tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"nonsense")
    spec = ModelSpec("n", "t", ("x",), (TensorSpec("y0"),), (TensorSpec("y_hat"),), halo=1)
    engine = RemoteEngine(child, ONNX.runner, spec)
    with pytest.raises(EngineError, match="ONNX Runtime cannot load bad"):
        engine.load(bad)


def test_a_closed_engine_refuses_runs(engine):
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run(INPUTS)


def test_a_full_disk_there_is_named_before_anything_is_sent(child, opened):
    child._facts = {**child.facts, "free_bytes": 10}
    engine = RemoteEngine(child, ONNX.runner, opened.manifest.model)
    with pytest.raises(HostError, match="its disk is full"):
        engine.load(opened.file("mean.fp32.onnx"))


def test_an_engine_that_is_missing_there_is_named(child):
    packages = {**child.facts["packages"], "onnxruntime": None}
    child._facts = {**child.facts, "packages": packages}
    with pytest.raises(MissingDependencyError, match="onnxruntime is not installed in"):
        child.runner(ONNX)


def test_a_target_of_another_system_is_refused(child):
    with pytest.raises(MissingDependencyError, match="Core ML needs macOS"):
        child.runner(target_named("coreml"))


def test_a_wrong_clock_is_said(child):
    assert clock_line("child", child.facts) is None
    line = clock_line("child", {"clock_ahead_s": -4000.0})
    assert "4000 s behind" in line


def test_a_session_shows_the_same_picture(bundle, tmp_path, monkeypatch, child):
    frame = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
    with load(bundle) as here, load_on(bundle, child.transport) as there:
        np.testing.assert_array_equal(there(frame), here(frame))
        assert there.engine_name.endswith(" on child")
        started = time.monotonic()
    assert time.monotonic() - started < 10
