"""NumPy or numba: who chooses, and what is said when numba is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgeexpo.errors import MissingDependencyError, UsageError
from edgeexpo.imaging import kernels
from edgeexpo.imaging.kernels import VARIABLE, kernel_module, kernels_in_use, using_kernels


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    kernels._chosen.cache_clear()
    yield
    kernels._chosen.cache_clear()


def test_numba_is_taken_where_it_is_usable(monkeypatch) -> None:
    monkeypatch.setattr(kernels, "numba_problem", lambda: None)
    assert kernels_in_use() == "numba"


def test_without_numba_numpy_computes(monkeypatch) -> None:
    monkeypatch.setattr(kernels, "numba_problem", lambda: "not installed")
    assert kernels_in_use() == "numpy"
    assert kernel_module("codes") is None


def test_the_environment_chooses_a_form(monkeypatch) -> None:
    monkeypatch.setattr(kernels, "numba_problem", lambda: None)
    monkeypatch.setenv(VARIABLE, "numpy")
    assert kernels_in_use() == "numpy"


def test_numba_asked_for_by_name_is_not_replaced(monkeypatch) -> None:
    monkeypatch.setattr(kernels, "numba_problem", lambda: "not installed")
    monkeypatch.setenv(VARIABLE, "numba")
    with pytest.raises(MissingDependencyError, match=r"not installed.*edgeexpo\[fast\]"):
        kernels_in_use()


def test_an_unknown_form_is_refused(monkeypatch) -> None:
    monkeypatch.setenv(VARIABLE, "cuda")
    with pytest.raises(UsageError, match="'cuda'; expected numba or numpy"):
        kernels_in_use()


def test_a_context_chooses_until_it_ends(monkeypatch) -> None:
    monkeypatch.setattr(kernels, "numba_problem", lambda: None)
    with using_kernels("numpy"):
        assert kernels_in_use() == "numpy"
    assert kernels_in_use() == "numba"


def test_importing_the_runtime_imports_no_numba() -> None:
    code = "import sys, edgeexpo.runtime; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
