"""An SSH server on this machine for tests, with its own keys, port, configuration and cache folder.

It stands for another machine: ``ssh`` reaches it without a question, and nobody else does.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

SERVER = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
"""Path of OpenSSH's server, or ``None``."""


def unavailable() -> str | None:
    """Return why no server can be started on this machine, or ``None``."""
    if sys.platform != "linux":
        return "the server is looked after through /proc, which Linux has"
    if SERVER is None or not (shutil.which("ssh") and shutil.which("ssh-keygen")):
        return "OpenSSH's server or client is not installed"
    return None


class LoopbackSshd:
    """A running server.

    Attributes:
        folder: Folder of its keys, its configuration and its cache.
        port: Its port.
        address: The address of the machine for ``on``, with the Python of this process.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port

    @property
    def place(self) -> str:
        """The address without a Python."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """The address with the Python of this process."""
        return f"{self.place}{sys.executable}"

    @property
    def search_path(self) -> str:
        """A ``PATH`` on which ``ssh`` takes the server's own keys and known hosts."""
        return f"{self.folder / 'bin'}:{os.environ.get('PATH', '')}"

    def processes(self) -> list[int]:
        """Return the processes that were started through the server and live."""
        mark = f"XDG_CACHE_HOME={self.folder / 'cache'}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def left_over(self, seconds: float = 10.0) -> list[int]:
        """Return the processes that still live after at most ``seconds``."""
        deadline = time.monotonic() + seconds
        while (found := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found


@contextlib.contextmanager
def loopback_sshd(folder: Path) -> Iterator[LoopbackSshd]:
    """Run a server for the block.

    Args:
        folder: An empty folder, which keeps its files.

    Raises:
        RuntimeError: The server does not start; the message has its words.
    """
    assert SERVER is not None, unavailable()
    server = LoopbackSshd(folder, _free_port())
    _write_files(server)
    log = folder / "log"
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd 9 wants it for its separated privileges
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [SERVER, "-D", "-e", "-f", str(folder / "sshd.conf")], stderr=stream
        )
    try:
        _wait_for(server, process, log)
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_files(server: LoopbackSshd) -> None:
    folder = server.folder
    for name in ("host", "key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    shutil.copy(folder / "key.pub", folder / "authorized")
    public = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known").write_text(f"[127.0.0.1]:{server.port} {public}\n")
    (folder / "sshd.conf").write_text(
        f"Port {server.port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\n"
        f"AuthorizedKeysFile {folder / 'authorized'}\nPidFile none\nStrictModes no\n"
        "UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"MaxStartups 100\nSetEnv XDG_CACHE_HOME={folder / 'cache'}\n"
    )
    (folder / "ssh.conf").write_text(
        f"Host *\n IdentityFile {folder / 'key'}\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {folder / 'known'}\n GlobalKnownHostsFile /dev/null\n"
    )
    client = folder / "bin" / "ssh"
    client.parent.mkdir()
    client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder / "ssh.conf"} "$@"\n')
    client.chmod(0o755)


def _wait_for(server: LoopbackSshd, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"sshd does not start: {log.read_text(errors='replace')[-400:]}")
