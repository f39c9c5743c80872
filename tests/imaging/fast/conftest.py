"""Tests of compiled kernels need the extra ``fast``."""

from __future__ import annotations

import pytest

from edgeexpo.imaging.kernels import numba_problem, using_kernels


@pytest.fixture(autouse=True)
def needs_numba() -> None:
    if problem := numba_problem():
        pytest.skip(f"numba is {problem}: pip install 'edgeexpo[fast]'")


@pytest.fixture
def both():
    """Return a function that calls another in NumPy's form, and then in numba's."""

    def call(function):
        made = []
        for form in ("numpy", "numba"):
            with using_kernels(form):
                made.append(function())
        return made

    return call
