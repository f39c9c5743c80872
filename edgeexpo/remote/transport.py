"""Ways to start a program on another machine, with a pair of pipes to it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from edgeexpo.remote.address import Address

_LAUNCH = 'import json,sys;exec(json.loads(getattr(sys.stdin,\\"buffer\\",sys.stdin).readline()))'
"""Program of Python that runs the JSON text in the first line of its input, for ``sh -c``."""

MARK = b"edgeexpo-remote "
"""Start of the line by which the other side first answers."""

_NO_PYTHON = '{\\"error\\": \\"python\\"}'
"""What the shell answers where there is no Python, for ``sh -c``."""

_SSH_FAILED = 255
"""Exit code of ssh itself; it passes on every other code from the other machine."""

CONNECT_SECONDS = 20
"""Seconds in which ssh has to reach the host."""


class Transport(Protocol):
    """A way to start a program on another machine."""

    @property
    def name(self) -> str:
        """Name of the machine for people."""

    def command(self) -> Sequence[str]:
        """Return the command here whose standard input and output lead to the program there.

        The program is Python, which runs the JSON text that is the first line of its input.
        """

    def refusal(self, said: Sequence[str], code: int) -> str:
        """Return why the command ended before the program started, in one line.

        Args:
            said: Lines of the command's standard error.
            code: The command's exit code.
        """


@dataclass(frozen=True)
class SshTransport:
    """OpenSSH's client, with the user's own configuration and keys."""

    address: Address

    @property
    def name(self) -> str:
        """Name of the machine for people."""
        return str(self.address)

    def command(self) -> list[str]:
        """Return the command; see :class:`Transport`.

        Batch mode makes ssh fail where it would ask for a password or about a host key.
        """
        address = self.address
        options = ["BatchMode=yes", f"ConnectTimeout={CONNECT_SECONDS}"]
        options += ["ServerAliveInterval=5", "ServerAliveCountMax=4"]
        words = ["ssh", "-T", "-e", "none", *(w for o in options for w in ("-o", o))]
        words += ["-l", address.user] if address.user else []
        words += ["-p", str(address.port)] if address.port else []
        return [*words, "--", address.host, _in_shell(address.python)]

    def refusal(self, said: Sequence[str], code: int) -> str:
        """Return ssh's own words and the way out; see :class:`Transport`."""
        lines = [line.strip() for line in said if line.strip(" @\t\r\n")]
        last = lines[-1][:240] if lines else "ssh ended without a word"
        text = "\n".join(lines)
        by_hand = shlex.join(["ssh", *self._place()])
        if code != _SSH_FAILED:
            started = self.address.python or "python3"
            return (
                f"{self.name} runs {started}, and it ends with exit code {code} instead of "
                f"starting ({lines[-1][:240] if lines else 'it says nothing'}); expected a Python"
            )
        if "HOST IDENTIFICATION HAS CHANGED" in text:
            about = next((line for line in lines if "has changed" in line), last)
            return (
                f"{self.name} shows another host key than before, and ssh refuses: {about[:240]} "
                "Find out why; only then remove the old key with ssh-keygen -R"
            )
        if "Host key verification failed" in text:
            return (
                f"{self.name} is not known to ssh: {last}; connect once by hand and check its key: "
                f"{by_hand}"
            )
        if "Permission denied" in text:
            return (
                f"{self.name} takes none of your keys, or asks for a password: {last}; install a "
                f"key with ssh-copy-id, so that this works without a question: {by_hand}"
            )
        return f"{self.name} cannot be reached: {last}; try by hand: {by_hand}"

    def _place(self) -> list[str]:
        address = self.address
        port = ["-p", str(address.port)] if address.port else []
        return [*port, f"{address.user}@{address.host}" if address.user else address.host]


@dataclass(frozen=True)
class CommandTransport:
    """Any command that runs Python elsewhere, such as an emulator or a container.

    Attributes:
        name: Name of the machine for people.
        python: The command that runs Python there.
    """

    name: str
    python: tuple[str, ...]

    def command(self) -> list[str]:
        """Return the command; see :class:`Transport`."""
        return [*self.python, "-c", _LAUNCH.replace("\\", "")]

    def refusal(self, said: Sequence[str], code: int) -> str:
        """Return the command's own words; see :class:`Transport`."""
        last = said[-1][:240] if said else "it ended without a word"
        return f"{self.name} does not start: {last}; try by hand: {shlex.join(self.python)}"


def _in_shell(python: str | None) -> str:
    """Return the command for the user's shell on the other machine, whichever shell that is."""
    if python is None:
        own = "${XDG_CACHE_HOME:-$HOME/.cache}/edgeexpo/remote/python/bin/python"
        chosen = f'p=python3; [ -x "{own}" ] && p="{own}"'
    else:
        # The characters of a path are checked by its address; none is special to a shell.
        chosen = f'p="{re.sub("^~", "$HOME", python)}"'
    missing = f'echo "{MARK.decode()}{_NO_PYTHON}"; exit 0;'
    script = (
        f'{chosen}; command -v "$p" >/dev/null 2>&1 || {{ {missing} }}; exec "$p" -c "{_LAUNCH}"'
    )
    return f"exec sh -c '{script}'"
