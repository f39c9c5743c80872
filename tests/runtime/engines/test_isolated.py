"""Engines in their own processes: a crash or a hang does not reach the caller."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgeexpo.errors import BundleError, EngineError, MissingDependencyError, UsageError
from edgeexpo.runtime import Summary, load
from edgeexpo.runtime.engines import worker
from edgeexpo.runtime.engines.base import EngineOptions, open_engine
from edgeexpo.runtime.engines.isolated import IsolatedEngine
from edgeexpo.runtime.engines.worker import OPENER, Worker
from edgeexpo.runtime.observation import RESTARTS
from edgeexpo.spec import ModelSpec, TensorSpec
from tests.support.tiny_bundle import write_bundle

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
SPEC = ModelSpec("net", "t", ("x",), (TensorSpec("y0"),), (TensorSpec("y_hat"),), halo=1)
ONNX = "edgeexpo.runtime.engines.onnx:OnnxEngine"
ONE = {"frames": ("picture",), "front": None, "back": None}
GOOD = {"y0": np.full((1, 3, 20, 24), 0.25, np.float32)}
BAD = {"y0": np.full((1, 3, 20, 24), 0.75, np.float32)}
FRAME = np.full((20, 24, 3), 90, np.uint8)


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "b", **ONE)


@pytest.fixture
def faulty(tmp_path):
    """Open engines of :mod:`tests.support.faulty_engines`, and close them after the test."""
    file, opened = tmp_path / "net.onnx", []
    file.write_bytes(b"stand-in")

    def start(fault, timeout_s=30.0, summary=None):
        opener = "tests.support.faulty_engines:open_engine"
        told = summary or Summary()
        engine = IsolatedEngine(
            fault,
            SPEC,
            timeout_s=timeout_s,
            restarted=lambda reason: told(RESTARTS, 1, {"reason": reason}),
            opener=opener,
        )
        opened.append(engine)
        engine.load(file)
        return engine

    yield start
    for engine in opened:
        engine.close()


def has_ended(pid):
    """Return true once a process is gone, or waits for its parent to notice."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_the_same_picture_as_in_this_process(bundle):
    frame = np.random.default_rng(0).integers(0, 256, (150, 131, 3), np.uint8)  # several tiles
    with load(bundle, threads=1) as here, load(bundle, threads=1, isolated=True) as there:
        assert there.engine_name == here.engine_name == "onnxruntime"
        for _ in range(2):
            np.testing.assert_array_equal(there(frame), here(frame))
    with pytest.raises(EngineError, match="closed"):
        there(frame)


@pytest.mark.parametrize("fault", ["once-abort", "once-exit"])
def test_a_crash_is_survived_and_the_frame_run_again(faulty, fault):
    summary = Summary()
    engine = faulty(fault, summary=summary)
    np.testing.assert_array_equal(engine.run(BAD)["y_hat"], BAD["y0"])
    assert summary.total(RESTARTS, "crash") == 1
    np.testing.assert_array_equal(engine.run(GOOD)["y_hat"], GOOD["y0"])
    assert summary.total(RESTARTS, "crash") == 1


@pytest.mark.parametrize("fault", ["once-hang", "once-stop"])
def test_a_hang_is_ended_and_the_frame_run_again(faulty, fault):
    summary = Summary()
    engine = faulty(fault, timeout_s=1, summary=summary)
    pid = engine._worker.pid
    np.testing.assert_array_equal(engine.run(BAD)["y_hat"], BAD["y0"])
    assert summary.total(RESTARTS, "hang") == 1
    assert has_ended(pid)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("abort", "net.onnx crashes its engine: its process ended with SIGABRT; a second try"),
        ("raise", "exit code 1; KeyError: 'nothing'"),
        ("hang", r"no answer to run within 0\.5 s"),
    ],
)
def test_a_second_failure_is_told_and_the_next_frame_runs(faulty, fault, words):
    engine = faulty(fault, timeout_s=0.5)
    with pytest.raises(EngineError, match=words) as caught:
        engine.run(BAD)
    assert type(caught.value) is EngineError
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(engine.run(GOOD)["y_hat"], GOOD["y0"])


@pytest.mark.parametrize(
    ("fault", "words"),
    [("refuse", "the engine refuses this frame"), ("forget", "has no output 'y_hat'")],
)
def test_what_an_engine_refuses_is_not_tried_again(faulty, fault, words):
    summary = Summary()
    engine = faulty(fault, summary=summary)
    pid = engine._worker.pid
    with pytest.raises(EngineError, match=words):
        engine.run(BAD)
    assert engine._worker.pid == pid
    assert summary.total(RESTARTS, "crash") == 0


def test_an_engine_that_dies_while_it_is_loaded_is_an_engine_error(faulty):
    with pytest.raises(EngineError, match="SIGABRT"):
        faulty("abort at once")


def test_an_engine_that_hangs_at_its_end_does_not_hold_up_the_session(faulty):
    engine = faulty("hang at the end")
    start = time.monotonic()
    engine.close()
    assert time.monotonic() - start < 5


def test_an_engine_that_talks_does_not_fill_the_disk(faulty):
    engine = faulty("talk")
    for _ in range(3):
        engine.run(BAD)  # each run prints 100 kB
        assert os.fstat(engine._worker._said.fileno()).st_size < 1 << 17


def test_what_an_engine_leaks_is_its_own(faulty):
    engine = faulty("leak")
    pid, before = engine._worker.pid, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(60):
        engine.run(BAD)  # each run leaks 1 MiB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
    engine.close()
    assert has_ended(pid)


def test_processes_and_descriptors_do_not_pile_up(faulty):
    engine = faulty("abort")
    engine.run(GOOD)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        with pytest.raises(EngineError):
            engine.run(BAD)
        engine.run(GOOD)
    assert len(os.listdir("/proc/self/fd")) == before


ORPHAN = """
import sys, threading, time
from pathlib import Path
import numpy as np
from tests.runtime.engines.test_isolated import BAD, SPEC
from edgeexpo.runtime.engines.isolated import IsolatedEngine
opener = "tests.support.faulty_engines:open_engine"
engine = IsolatedEngine(sys.argv[1], SPEC, timeout_s=100, opener=opener)
engine.load(Path(sys.argv[2]))
pid = engine._worker.pid
threading.Thread(target=engine.run, args=(BAD,), daemon=True).start()
time.sleep(0.5)
print(pid, flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize("fault", ["refuse", "hang"])
def test_the_process_ends_with_its_parent(tmp_path, fault):
    """The process is idle or hanging; the parent is killed and cannot clean up."""
    (tmp_path / "net.onnx").write_bytes(b"stand-in")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    arguments = [sys.executable, "-c", ORPHAN, fault, str(tmp_path / "net.onnx")]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as parent:
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
    assert has_ended(pid)


def test_an_interrupt_ends_what_runs_and_the_next_frame_starts_anew(faulty, monkeypatch):
    summary = Summary()
    engine = faulty("abort", summary=summary)
    running, pid = engine._worker, engine._worker.pid

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.run(GOOD)
    assert has_ended(pid)
    assert engine.run(GOOD)["y_hat"].shape == (1, 3, 20, 24)
    assert summary.total(RESTARTS, "interrupt") == 1


def test_control_c_is_left_to_the_caller(faulty):
    engine = faulty("abort")
    pid = engine._worker.pid
    os.kill(pid, signal.SIGINT)
    engine.run(GOOD)
    assert engine._worker.pid == pid


def test_a_file_changed_since_it_was_loaded_is_not_loaded_again(bundle):
    with load(bundle, threads=1, isolated=True) as session:
        first = session(FRAME)
        file = bundle / "mean.fp32.onnx"
        data = file.read_bytes()
        file.write_bytes(data[:-1])
        np.testing.assert_array_equal(session(FRAME), first)  # the process has the file in memory
        os.kill(session._steps._engine._worker.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="was changed since it was loaded"):
            session(FRAME)
        file.write_bytes(data)
        np.testing.assert_array_equal(session(FRAME), first)
        file.unlink()
        os.kill(session._steps._engine._worker.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="cannot be read: No such file"):
            session(FRAME)


def test_no_torch_is_loaded_for_onnx(bundle):
    with load(bundle, isolated=True) as session:
        session(FRAME)
        maps = Path(f"/proc/{session._steps._engine._worker.pid}/maps").read_text()
    assert "onnxruntime" in maps
    assert "torch" not in maps


def test_what_cannot_be_isolated_is_refused(bundle, monkeypatch):
    from edgeexpo.runtime import FakeEngine

    with pytest.raises(UsageError, match="timeout_s needs isolated=True"):
        load(bundle, timeout_s=3)
    with pytest.raises(UsageError, match="engine of the runtime's own"):
        load(bundle, isolated=True, engine=FakeEngine(dict))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        with pytest.raises(UsageError, match="needs Linux or macOS"):
            load(bundle, isolated=True)
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="timeout_s is"):
            load(bundle, isolated=True, timeout_s=wrong)


def test_a_damaged_artefact_and_a_missing_engine_keep_their_errors(bundle, tmp_path, monkeypatch):
    (bundle / "mean.fp32.onnx").write_bytes(b"no network")
    with pytest.raises(BundleError, match="changed after the export"):
        load(bundle, isolated=True)
    engine = IsolatedEngine(ONNX, SPEC)
    with pytest.raises(EngineError, match="ONNX Runtime cannot load mean"):
        engine.load(bundle / "mean.fp32.onnx")
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('not here')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(MissingDependencyError, match="onnxruntime is not installed"):
        engine.load(bundle / "mean.fp32.onnx")


@pytest.mark.parametrize("target", [ONNX, "nothing but itself"])
def test_the_process_stays_on_the_cpus_asked_for(bundle, target):
    """All its threads stay there with any engine, also after a restart."""
    cpu = max(os.sched_getaffinity(0))
    opener = OPENER if target == ONNX else "tests.support.faulty_engines:open_engine"
    engine = IsolatedEngine(target, SPEC, EngineOptions(2, (cpu,)), opener=opener)
    engine.load(bundle / "mean.fp32.onnx")
    for _ in range(2):
        engine.run(GOOD)
        pid = engine._worker.pid
        threads = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
        assert [os.sched_getaffinity(thread) for thread in threads] == [{cpu}] * len(threads)
        os.kill(pid, signal.SIGKILL)
    engine.close()


def test_cpus_that_are_not_there_are_an_engine_error(bundle):
    with pytest.raises(EngineError, match="affinity names CPU 100000"):
        load(bundle, isolated=True, options=EngineOptions(affinity=(10**5,)))


def use_until_closed(session, errors):
    try:
        while True:
            session(FRAME)
    except EngineError as error:
        errors.append(str(error))


def test_two_sessions_close_at_once(bundle):
    """Both sessions are running, each in its own thread."""
    for isolated in (False, True):
        sessions = [load(bundle, threads=1, isolated=isolated) for _ in range(2)]
        errors = []

        users = [
            threading.Thread(target=use_until_closed, args=(session, errors))
            for session in sessions
        ]
        enders = [threading.Thread(target=session.close) for session in sessions * 2]
        for thread in users:
            thread.start()
        time.sleep(0.1)
        for thread in enders:
            thread.start()
        for thread in (*users, *enders):
            thread.join(30)
            assert not thread.is_alive()
        assert len(errors) == 2
        assert all("the session is closed" in error for error in errors)


@pytest.mark.parametrize("isolated", [False, True])
def test_a_forked_process_is_refused_and_harms_nothing(bundle, isolated):
    """The fork may even close the session, though ONNX Runtime's threads are missing there."""
    session = load(bundle, threads=2, isolated=isolated)
    before = session(FRAME)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with session:
                session(FRAME)
        except EngineError as error:
            session.close()
            del session
            code = 0 if "do not survive a fork" in str(error) else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + 20
    while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert ended == (pid, 0)
    np.testing.assert_array_equal(session(FRAME), before)
    session.close()


def test_a_cancelled_stream_leaves_an_isolated_session_usable(bundle):
    async def run(session):
        async def read():
            async for _ in session.stream(iter([FRAME] * 10**4), drop="none"):
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with load(bundle, threads=1, isolated=True) as session:
        asyncio.run(run(session))
        assert not [t for t in threading.enumerate() if t.name.startswith("edgeexpo-")]
        assert session(FRAME).shape == FRAME.shape


def test_a_stream_goes_on_after_a_crash(bundle):
    summary = Summary()

    async def run(session):
        shown, pid = [], session._steps._engine._worker.pid
        async for result in session.stream(iter([FRAME] * 40), drop="none"):
            shown.append(result.index)
            if result.index == 1:
                os.kill(pid, signal.SIGKILL)
        return shown

    with load(bundle, threads=1, isolated=True, observe=summary) as session:
        assert asyncio.run(run(session)) == list(range(40))
    assert summary.total(RESTARTS, "crash") == 1


@pytest.mark.parametrize(
    "said",
    [
        r"b'nonsense\n'",
        r"b'3\n'",
        r"b'[]\n'",
        r"""b'{"layout": 3}\n'""",
        r"""b'{"layout": [["y_hat", [1, 3, 20]], 4]}\n'""",
        r"""b'{"layout": [["y_hat", [1, 3, -20, 24]]]}\n'""",
        r"""b'{"layout": [["y_hat", [1, 3, 200000, 24]]]}\n'""",
        r"""b'{"layout": [["y_hat", [1e30]]]}\n'""",
        r"""b'{"layout": [["y_hat", [' + b'9' * 40 + b']]]}\n'""",
        r"""b'{"error": ["x"], "message": 3}\n'""",
        r"b'\xff\xfe\n'",
        r"b'[' * 100_000 + b'\n'",
        r"b'x' * (2 << 20)",
    ],
)
def test_whatever_a_broken_process_says_is_an_engine_error(said, monkeypatch):
    """The process is a script that prints the same answer to every request."""
    monkeypatch.setattr(
        worker,
        "_BOOTSTRAP",
        "import json, socket, sys\n"
        "connection = socket.socket(fileno=json.loads(sys.argv[1])[0])\n"
        f"connection.recv(1000)\nconnection.sendall({said})\nconnection.recv(1)",
    )
    process = Worker()
    try:
        with pytest.raises(EngineError) as caught:
            process.run(GOOD, 10)
        assert "\n" not in str(caught.value)
    finally:
        process.end()


def test_a_process_that_does_not_start_is_an_engine_error(monkeypatch):
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EngineError, match="no process can be started: No such file"):
        Worker()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_engine_in_the_process_is_the_one_of_the_runtime(bundle):
    here = open_engine("onnx", bundle / "mean.fp32.onnx", SPEC, EngineOptions(1))
    process = Worker()
    name = process.load(ONNX, bundle / "mean.fp32.onnx", SPEC, EngineOptions(1), 60)
    assert name == here.name
    with pytest.raises(EngineError, match="ONNX Runtime failed"):
        process.run({"y0": np.zeros((1, 4, 20, 24), np.float32)}, 20)
    np.testing.assert_array_equal(process.run(GOOD, 20)["y_hat"], here.run(GOOD)["y_hat"])
    process.close(20)
    with pytest.raises(EngineError, match="no engine is open"):
        process.run(GOOD, 20)
    process.end()
