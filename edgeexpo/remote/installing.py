"""Installation of NumPy and engines on the other machine, for a user who asked for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

LIMIT = 900.0
"""Seconds that an installation may take."""


class InstallError(Exception):
    """The installation failed; the message is the installer's last line."""


def install(folder: Path, packages: Sequence[str], own: bool) -> str:
    """Install packages and return the Python that has them.

    Args:
        folder: The cache folder of :mod:`edgeexpo.remote`.
        packages: Requirements, as pip takes them.
        own: Install into an environment of edgeexpo's own in ``folder``, instead of into the Python
            that runs this.

    Raises:
        InstallError: The environment cannot be made, or pip refuses.
    """
    python = sys.executable
    if own:
        place = folder / "python"
        python = str(place / "bin" / "python")
        if not Path(python).exists():
            _done([sys.executable, "-m", "venv", str(place)])
    words = ["-m", "pip", "install", "--disable-pip-version-check", "--only-binary", ":all:"]
    _done([python, *words, *packages])
    return python


def _done(command: Sequence[str]) -> None:
    try:
        ended = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"it takes longer than {LIMIT:g} s") from error
    if ended.returncode:
        said = (ended.stderr or ended.stdout).decode(errors="replace").strip().splitlines()
        lines = [line for line in said if "ERROR" in line or "rror:" in line] or said
        raise InstallError((lines or [f"exit code {ended.returncode}"])[-1][:240])
