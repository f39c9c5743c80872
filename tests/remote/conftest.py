"""Machines that stand for others: a child process, and an SSH server on this machine."""

from __future__ import annotations

import sys

import pytest

from edgeexpo.remote.host import RemoteHost
from edgeexpo.remote.transport import CommandTransport
from edgeexpo.testing.loopback_sshd import loopback_sshd, unavailable
from tests.support.tiny_bundle import write_bundle


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "bundle", frames=("picture",), front=None, back=None)


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Another machine that is a child process with a cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with RemoteHost(CommandTransport("child", (sys.executable,))) as host:
        yield host


@pytest.fixture(scope="package")
def running_server(tmp_path_factory):
    if (reason := unavailable()) is not None:
        pytest.skip(reason)
    with loopback_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def server(running_server, monkeypatch):
    """An SSH server on this machine, which ``ssh`` on the ``PATH`` reaches without a question."""
    monkeypatch.setenv("PATH", running_server.search_path)
    return running_server
