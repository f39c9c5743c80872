"""Progress is visible on a terminal, silent otherwise, and never disturbs the work."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from edgeexpo import progress

SCRIPT = """
from edgeexpo.progress import status, track
with status("spinning"):
    pass
print(sum(track(range(4), "counting")))
"""


def test_pipes_see_nothing_but_the_result() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "6\n", "")


def test_a_terminal_sees_the_description_on_stderr_only() -> None:
    primary, secondary = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=secondary, env=env
    )
    os.close(secondary)
    shown = os.read(primary, 65536)
    os.close(primary)
    assert done.stdout == b"6\n"
    assert b"spinning" in shown
    assert b"counting" in shown


def test_items_pass_through_in_order_and_lazily() -> None:
    taken = []

    def source():
        for item in "abc":
            taken.append(item)
            yield item

    items = progress.track(source(), "reading", total=3)
    assert next(items) == "a"
    assert taken == ["a"]
    assert list(items) == ["b", "c"]


def test_errors_of_the_work_are_not_swallowed() -> None:
    with pytest.raises(KeyError, match="inside"), progress.status("failing"):
        raise KeyError("inside")


def test_without_stderr_or_rich_it_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", None)
    assert not progress.visible()
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: None)
    assert not progress.visible()


def test_importing_it_costs_nothing() -> None:
    check = (
        "import sys, edgeexpo.progress; assert not {'rich', 'numpy', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


def test_kept_notes_are_given_and_not_printed(capsys) -> None:
    with progress.kept_notes() as outer:
        progress.note("first")
        with progress.kept_notes() as inner:
            progress.note("second")
    progress.note("third")
    assert (outer, inner) == (["first"], ["second"])
    assert capsys.readouterr().err == "third\n"


def test_notes_of_a_block_that_fails_are_not_lost(capsys) -> None:
    def fails() -> None:
        with progress.kept_notes():
            progress.note("said before")
            raise ValueError("fails")

    with pytest.raises(ValueError, match="fails"):
        fails()
    assert capsys.readouterr().err == "said before\n"
