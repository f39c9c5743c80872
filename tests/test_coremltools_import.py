"""coremltools is imported without libraries that are not needed through it."""

from __future__ import annotations

import importlib
import sys

import pytest

from edgeexpo import coremltools_import
from edgeexpo.coremltools_import import light_coremltools


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    """Write stand-ins: coremltools, a library of other sources, and one of conversion."""
    (tmp_path / "other_source.py").touch()
    (tmp_path / "conversion.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(coremltools_import, "_OF_OTHER_SOURCES", ("other_source",))
    monkeypatch.setattr(coremltools_import, "_OF_CONVERSION", ("conversion",))
    for name in ("coremltools", "other_source", "conversion"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def found() -> set[str]:
    names = set()
    for name in ("other_source", "conversion"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        names.add(name)
    return names


@pytest.mark.parametrize(("converts", "names"), [(True, {"conversion"}), (False, set())])
def test_libraries_are_hidden_inside_the_block_alone(libraries, converts, names):
    with light_coremltools(converts):
        assert found() == names
    assert found() == {"other_source", "conversion"}


def test_what_is_imported_already_stays(libraries):
    importlib.import_module("other_source")
    with light_coremltools():
        assert "other_source" in found()
    assert sys.modules["other_source"] is not None


def test_nothing_is_hidden_once_coremltools_is_there(libraries, monkeypatch):
    monkeypatch.setitem(sys.modules, "coremltools", sys)
    with light_coremltools(converts=False):
        assert found() == {"other_source", "conversion"}
