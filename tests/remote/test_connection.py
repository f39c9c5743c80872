"""Connections that are refused, broken or silent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from edgeexpo.errors import HostError, LostConnectionError
from edgeexpo.remote import connection as module
from edgeexpo.remote.connection import Connection
from edgeexpo.remote.host import RemoteHost
from edgeexpo.remote.transport import CommandTransport

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the pipes are those of POSIX")


def gone(pid, seconds=10.0):
    """Tell whether a process of another parent ends within ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as stream:
                if stream.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@dataclass
class Shell:
    """A transport that runs a shell script before or instead of Python."""

    script: str
    name: str = "shell"

    def command(self):
        (*_, code) = CommandTransport("", (sys.executable,)).command()
        return ["sh", "-c", self.script, sys.executable, code]

    def refusal(self, said, code):
        return f"shell ended with {code}: {said}"


def test_a_system_without_such_pipes_is_refused(child, monkeypatch):
    monkeypatch.setattr(module, "SUPPORTED", False)
    with pytest.raises(HostError, match="from Linux or macOS"):
        child.ready()


def test_a_greeting_of_the_shell_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    connection = Connection(Shell('echo "Welcome to your Pi"; exec "$0" -c "$1"'))
    facts, _ = connection.ask({"verb": "facts"}, 30)
    assert facts["python"].count(".") == 2
    connection.close()


def test_an_endless_greeting_is_refused():
    with pytest.raises(HostError, match="greeting"):
        Connection(Shell("yes hello"))


def test_a_program_that_ends_at_once_is_a_refusal():
    with pytest.raises(HostError, match=r"ended with 7: \['no way'\]"):
        Connection(Shell("echo no way >&2; exit 7"))


def test_a_program_that_does_not_exist_is_named():
    with pytest.raises(HostError, match="/no/program cannot be started"):
        Connection(CommandTransport("x", ("/no/program",)))


def test_too_old_a_python_is_named(child, monkeypatch):
    monkeypatch.setattr(module, "OLDEST_PYTHON", (9, 1))
    with pytest.raises(HostError, match=r"has Python 3\.\S+ \(.*\); expected 9\.1 or later"):
        child.ready()


def test_missing_numpy_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    base = (sys.executable, "-S", "-E")
    host = RemoteHost(CommandTransport("bare", base))
    with host, pytest.raises(HostError, match="bare has no numpy"):
        host.ready()


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(HostError, match="cannot keep edgeexpo's runtime"):
        Connection(CommandTransport("child", (sys.executable,)))


def test_a_killed_program_is_a_lost_connection_and_the_next_request_connects_again(child):
    pid = child.facts["pid"]
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(LostConnectionError, match="the connection to child is lost"):
        child.ask({"verb": "find", "sha256": "0" * 64, "name": "x"}, 30)
    found, _ = child.ask({"verb": "find", "sha256": "0" * 64, "name": "x"}, 30)
    assert found == {"found": False}


def test_a_program_that_hangs_is_lost_after_the_limit(child):
    pid = child.facts["pid"]
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(LostConnectionError, match=r"no answer to 'facts' within 0\.3 s"):
        child.ask({"verb": "facts"}, 0.3)
    assert time.monotonic() - started < 5
    assert gone(pid)


def test_the_program_ends_when_its_input_is_closed(child):
    pid = child.facts["pid"]
    child.close()
    assert gone(pid)


def test_the_program_ends_when_nothing_is_heard(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "_HEARTBEAT", 1000.0)
    # The other side gets the same code with a shorter patience.
    import edgeexpo.remote.payload as sent

    sources = sent._sources

    def impatient(*args, **named):
        for name, data in sources(*args, **named):
            yield name, data.replace(b"SILENCE = 60.0", b"SILENCE = 0.5")

    monkeypatch.setattr(sent, "_sources", impatient)
    sent.payload.cache_clear()
    try:
        connection = Connection(CommandTransport("child", (sys.executable,)))
        pid = connection.ask({"verb": "facts"}, 30)[0]["pid"]
        assert gone(pid, 10)
        connection.close()
    finally:
        sent.payload.cache_clear()


def test_the_program_ends_when_this_process_is_killed(tmp_path):
    code = (
        "import sys, time\n"
        "from edgeexpo.remote.host import RemoteHost\n"
        "from edgeexpo.remote.transport import CommandTransport\n"
        "host = RemoteHost(CommandTransport('child', (sys.executable,)))\n"
        "print(host.facts['pid'], flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
    )
    pid = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    assert gone(pid)


def test_requests_that_are_unknown_or_malformed_are_answered(child):
    for request in ({"verb": "dance"}, {"verb": "find"}, {"verb": "find", "sha256": 1, "name": 2}):
        with pytest.raises(HostError, match="refuses a request"):
            child.ask(request, 30)
    assert child.facts["pid"]
