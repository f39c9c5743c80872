"""Translate parameter names in the library's messages into flags of the command line.

A message that is raised outside the command line names a parameter in backticks. The value to give
may follow, as in ``precision='fp32'``. This module replaces both by the flag that a user types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

FLAGS: Mapping[str, str] = {
    "calibration": "--calib",
    "gates": "--gate",
    "inputs": "--input",
    "output": "-o",
    "targets": "--target",
    "with_baselines": "--no-baselines",
}
"""Flags of the parameters whose flag is not the name with dashes: parameter -> flag."""

_PARAMETER = re.compile(r"(?<!`)`(?P<name>[a-z][a-z0-9_]*)(?:=(?P<value>[^`]*))?`(?!`)")


def flag_of(parameter: str) -> str:
    """Name the flag that stands for a parameter."""
    return FLAGS.get(parameter, f"--{parameter.replace('_', '-')}")


def with_flags(message: str) -> str:
    """Write a message of the library for the command line: flags instead of parameters."""
    return _PARAMETER.sub(_typed, message)


def _typed(match: re.Match[str]) -> str:
    flag, value = flag_of(match["name"]), match["value"]
    return flag if value in (None, "True") else f"{flag} {value.strip(chr(39) + chr(34))}"
