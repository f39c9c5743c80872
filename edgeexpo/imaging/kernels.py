"""The choice between the two forms of the stages: NumPy, and kernels that numba compiles.

The kernels come with the extra ``fast``. Both forms compute the same picture up to rounding, which
tests compare. The environment variable :data:`VARIABLE` names a form. Without it, the kernels are
taken where numba can be imported. numba itself is imported when the first kernel is needed.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

from edgeexpo.errors import MissingDependencyError, UsageError

VARIABLE = "EDGEEXPO_KERNELS"
"""Name of the environment variable that chooses a form."""

FORMS = ("numba", "numpy")
"""Names of the forms, the fast one first."""

_forced: list[str] = []


def kernels_in_use() -> str:
    """Return the name of the form that computes the stages, one of :data:`FORMS`.

    Raises:
        UsageError: :data:`VARIABLE` names no form.
        MissingDependencyError: :data:`VARIABLE` asks for numba, which cannot be imported.
    """
    return _forced[-1] if _forced else _chosen(os.environ.get(VARIABLE, ""))


@contextlib.contextmanager
def using_kernels(form: str) -> Iterator[None]:
    """Compute the stages in one form until the context ends, in every thread.

    Raises:
        UsageError: The form is unknown.
        MissingDependencyError: The form needs numba, which cannot be imported.
    """
    _forced.append(_chosen(form))
    try:
        yield
    finally:
        _forced.pop()


def kernel_module(name: str) -> Any | None:
    """Return a module of ``edgeexpo.imaging.fast``, or ``None`` where NumPy computes the stages."""
    return _module(name) if kernels_in_use() == "numba" else None


@functools.cache
def numba_problem() -> str | None:
    """Return the reason why numba is unusable, or ``None`` if its kernels can be used."""
    if importlib.util.find_spec("numba") is None:
        return "not installed"
    try:
        importlib.import_module("numba")
    except (ImportError, OSError) as error:
        return " ".join(f"does not load: {error}".split())
    return None


@functools.cache
def _chosen(asked: str) -> str:
    if asked not in ("", *FORMS):
        raise UsageError(f"{VARIABLE} is {asked!r}; expected {' or '.join(FORMS)}")
    if asked == "numpy":
        return asked
    problem = numba_problem()
    if problem is None:
        return "numba"
    if asked:
        raise MissingDependencyError(
            f"{VARIABLE} asks for numba, which is unusable ({problem}): pip install "
            "'edgeexpo[fast]'"
        )
    return "numpy"


@functools.cache
def _module(name: str) -> Any:
    return importlib.import_module(f"edgeexpo.imaging.fast.{name}")
