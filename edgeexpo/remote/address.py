"""Addresses of other machines: ``ssh://USER@HOST:PORT/PATH/OF/PYTHON``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeexpo.errors import UsageError

FORM = "ssh://[USER@]HOST[:PORT][/PATH/OF/PYTHON]"
"""The form of an address, for people."""

HERE = "here"
"""Word for this machine among the addresses of several machines."""

_ADDRESS = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.+-]*)@)?"
    r"(?:(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*)|\[(?P<v6>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<python>/[A-Za-z0-9_./+~-]*)?"
)


@dataclass(frozen=True)
class Address:
    """A machine, and the Python on it.

    Attributes:
        host: The host's name, its IP address, or its name in the user's configuration of ssh.
        user: The user's name. ``None`` leaves it to the configuration.
        port: The port. ``None`` leaves it to the configuration.
        python: Path of the Python that has NumPy and an engine. A leading ``~/`` stands for the
            home folder. ``None`` for the environment of an earlier installation, or ``python3``.
    """

    host: str
    user: str | None = None
    port: int | None = None
    python: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address of the form :data:`FORM`.

        ``/~/venv/bin/python`` at its end is a path below the home folder.

        Raises:
            UsageError: The text is no such address.

        Example:
            >>> Address.parse("ssh://pi@camera:2222/~/venv/bin/python")
            Address(host='camera', user='pi', port=2222, python='~/venv/bin/python')
        """
        match = _ADDRESS.fullmatch(text)
        port = int(match["port"]) if match and match["port"] else None
        if match is None or (port is not None and not 0 < port < 65536):
            hint = (
                "; passwords have no place in it" if re.match(r"ssh://[^@/]*:[^@/]*@", text) else ""
            )
            raise UsageError(f"{text!r} is no address of a machine; expected {FORM}{hint}")
        python = (match["python"] or "").rstrip("/")
        if python.startswith("/~/"):
            python = python[1:]
        return cls(match["host"] or match["v6"], match["user"], port, python or None)

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}{f':{self.port}' if self.port else ''}"
