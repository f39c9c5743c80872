"""Flags of the command line for the parameters that messages of the library name.

A message that is raised outside the command line names a parameter in backticks: as it is, or with
the value to give it, as in ``precision='fp32'``. Here it becomes what is typed.
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
"""Parameter -> flag, where the flag is not the name with dashes."""

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
