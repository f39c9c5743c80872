"""This machine's processor: its name, and the features that decide what engines compute on it."""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterator
from pathlib import Path

CPU_FEATURES = (
    "avx2",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimddp",
    "i8mm",
)
"""Names of the CPU features that engines have kernels for, as ``/proc/cpuinfo`` writes them.

VNNI, AMX and BF16 are instructions of x86 for 8-bit and 16-bit products. The last two names are
ARM's dot product and its INT8 matrix multiplication.
"""


def processor_name() -> str:
    """Return the name of this host's processor."""
    for key, value in _cpuinfo():
        if key == "model name":
            return value
    return platform.processor() or platform.machine()


def cpu_features() -> tuple[str, ...]:
    """Return those of :data:`CPU_FEATURES` that this host's processor has.

    Only Linux tells them. Elsewhere the result is empty.
    """
    flags = {
        flag for key, value in _cpuinfo() if key in ("flags", "Features") for flag in value.split()
    }
    return tuple(feature for feature in CPU_FEATURES if feature in flags)


@functools.cache
def _text() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text("utf-8", "replace") if path.is_file() else ""


def _cpuinfo() -> Iterator[tuple[str, str]]:
    for line in _text().splitlines():
        key, _, value = line.partition(":")
        yield key.strip(), value.strip()
