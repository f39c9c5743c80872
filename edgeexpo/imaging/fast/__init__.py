"""Kernels of the stages that numba compiles, each the twin of a function in NumPy.

Kernels take contiguous arrays and run without Python's lock, so that the threads that compute
windows run them side by side. Compiled code is kept beside the sources, or in the user's cache
folder where that cannot be written. Only :mod:`edgeexpo.imaging.kernels` imports these modules.

Loops that the processor should run on several numbers at once index with :data:`At`. numba lets a
signed index count from the end, and the test for that keeps LLVM from such loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

_Function = TypeVar("_Function", bound=Callable[..., Any])

At = np.uintp
"""Type of indices that are never negative."""


def compiled(function: _Function) -> _Function:
    """Compile a function at its first call for each combination of types.

    Additions keep their order and nothing is fused, so that a kernel rounds as NumPy does.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        made = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba 0.68 finds no folder to write to, so every process compiles anew
        made = numba.njit(**options)(function)
    return cast(_Function, made)
