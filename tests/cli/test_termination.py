"""SIGTERM ends a verb without a trace of what it began."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from edgeexpo.bundle.files import staged
from edgeexpo.cli import main, models
from edgeexpo.cli.termination import terminable


@pytest.fixture
def interrupted(monkeypatch, tmp_path):
    """Replace a verb by one that gets SIGTERM while it writes a folder."""

    def run(_):
        with staged(tmp_path / "bundle", force=False) as folder:
            (folder / "part").write_text("begun", "utf-8")
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        return 0

    monkeypatch.setattr(models, "run", run)


@pytest.mark.usefixtures("interrupted")
def test_nothing_begun_stays(tmp_path, capsys) -> None:
    assert main(["models"]) == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().err == "edgeexpo: terminated\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_programs_own_handler_stays() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with terminable():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_leave_signals_alone() -> None:
    found = []

    def enter() -> None:
        with terminable():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]
