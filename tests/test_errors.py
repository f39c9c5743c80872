"""The exception tree: exit codes, and the drawing in the docstring, which must not go stale."""

from __future__ import annotations

import inspect
import re

import pytest

from edgeexpo import errors

EXIT_CODES = {
    "EdgeexpoError": 1,
    "UsageError": 2,
    "PictureError": 2,
    "WeightsError": 2,
    "ModuleError": 2,
    "BundleError": 2,
    "ExportError": 1,
    "EngineError": 1,
    "HostError": 1,
    "LostConnectionError": 1,
    "TrainingError": 1,
    "OutputError": 1,
    "ExistingOutputError": 2,
    "GateError": 3,
    "MissingDependencyError": 4,
    "UnverifiedError": 5,
    "InternalError": 1,
}


def tree() -> dict[str, type[errors.EdgeexpoError]]:
    return dict(inspect.getmembers(errors, inspect.isclass))


def test_exit_codes_are_frozen() -> None:
    assert {name: kind.exit_code for name, kind in tree().items()} == EXIT_CODES


def test_one_except_clause_catches_them_all() -> None:
    assert all(issubclass(kind, errors.EdgeexpoError) for kind in tree().values())


@pytest.mark.parametrize("name", sorted(EXIT_CODES))
def test_the_docstring_draws_the_tree(name: str) -> None:
    lines = (errors.__doc__ or "").splitlines()
    drawn = next(line for line in lines if re.search(rf"\b{name}\b", line))
    code = re.search(r"exit (\d)", drawn)
    if code:
        assert int(code[1]) == EXIT_CODES[name]
    indented = drawn.startswith(("    │   ", "        "))
    assert indented == (errors.EdgeexpoError not in (tree()[name], *tree()[name].__bases__))
