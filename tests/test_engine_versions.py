"""Versions of engines: which are wrong, on which processors, for which precision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from edgeexpo.engine_versions import EngineVersions, WrongVersions, installed_version, release

WRONG = WrongVersions("1.21", "1.24", "amx_int8", "int8", "a kernel errs")
KNOWN = EngineVersions("engine", "1.20.1", (WRONG,))
NUMBERS = st.lists(st.integers(0, 40), min_size=1, max_size=4)


@given(NUMBERS, NUMBERS)
def test_releases_are_ordered_as_packaging_orders_them(first, second):
    one, other = (".".join(map(str, numbers)) for numbers in (first, second))
    assert (release(one) < release(other)) == (Version(one) < Version(other))
    assert release(f"{one}+cpu") == release(one)


@pytest.mark.parametrize(
    ("version", "wrong"),
    [
        ("1.20.1", False),
        ("1.21", True),
        ("1.21.0", True),
        ("1.22.1", True),
        ("1.24.4", True),
        ("1.25", False),
        ("1.25.0", False),
        ("2.22", False),
    ],
)
def test_the_last_wrong_version_includes_its_patches(version, wrong):
    assert WRONG.covers(version) is wrong
    assert (KNOWN.fault("int8", version, {"amx_int8"}) is not None) is wrong


def test_a_wrong_version_is_named_with_processor_and_way_out():
    fault = KNOWN.fault("int8", "1.23.2", ["avx2", "amx_int8"])
    assert fault == (
        "engine 1.23.2 computes int8 files wrongly on processors with amx_int8: a kernel errs "
        "(versions 1.21 to 1.24); pip install -U engine, or choose another `precision`"
    )


def test_other_processors_and_precisions_are_right():
    assert KNOWN.fault("int8", "1.23.2", ["avx2"]) is None
    assert KNOWN.fault("fp32", "1.23.2", ["amx_int8"]) is None


def test_versions_that_are_wrong_everywhere_need_no_feature():
    everywhere = EngineVersions("engine", wrong=(WrongVersions("2", "2", None, "fp32", "x"),))
    assert "engine 2.7 computes fp32 files wrongly: x" in str(everywhere.fault("fp32", "2.7", ()))


def test_an_old_version_is_refused_with_the_least():
    assert "engine 1.19.2 is older than 1.20.1" in str(KNOWN.fault("fp32", "1.19.2", ()))
    assert KNOWN.fault("fp32", "1.20.1", ()) is None


def test_the_installed_version_is_the_packages():
    import numpy

    assert installed_version("numpy") == numpy.__version__
    assert installed_version("no-such-package") is None
    assert installed_version("") is None
