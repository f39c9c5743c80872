"""Freed memory is kept, which page faults show."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
import numpy as np
from edgeexpo.allocator import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
np.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not glibc's")
def test_large_arrays_come_from_memory_that_is_there() -> None:
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True
            ).stdout
        )
        for how in ("default", "kept")
    }
    assert faults["kept"] < 0.2 * faults["default"]
