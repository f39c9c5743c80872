"""Tests of ``edgeexpo doctor``: found versions, missing packages and how to install them."""

from __future__ import annotations

import importlib.metadata
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

from edgeexpo.cli import doctor, main
from edgeexpo.imaging.kernels import using_kernels


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the import of every engine, which takes seconds and has one test of its own."""
    monkeypatch.setattr(doctor, "_importable", lambda module: "usable")


def pretend(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    """Pretend that packages have other versions, or are missing where the version is ``None``."""
    real = importlib.metadata.version

    def version(name: str) -> str:
        found = versions.get(name.replace("-", "_"), real(name) if name != "ghost" else None)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)


def run_json(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict]:
    code = main(["doctor", "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_this_machine_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    code, document = run_json(capsys)
    assert code == 0
    assert document["ok"]
    rows = {row["package"]: row for row in document["packages"]}
    assert rows["numpy"]["extra"] == "base"
    assert rows["torch"] == {
        "package": "torch",
        "found": importlib.metadata.version("torch"),
        "tested": "==2.13.0",
        "extra": "export",
        "status": "ok",
    }
    assert rows["pytest"]["extra"] == "dev"
    assert "astronaut" in document["photographs"]
    assert len(document["photographs"]) == 7
    assert document["host"]["cores"] >= 1


def test_a_missing_base_package_is_exit_4(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, pillow=None)
    code, document = run_json(capsys)
    assert code == 4
    assert document["get"]["base"] == "pip install ."
    assert main(["doctor"]) == 4
    assert "pip install ." in capsys.readouterr().out


def test_a_missing_extra_is_named_and_is_no_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, coremltools=None)
    code, document = run_json(capsys)
    assert code == 0
    assert document["get"]["export"] == "pip install '.[export]'"


def test_another_version_is_untested(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, numpy="2.4.1", torch="2.13.0+cu130")
    code, document = run_json(capsys)
    status = {row["package"]: row["status"] for row in document["packages"]}
    assert (code, status["numpy"], status["torch"]) == (0, "untested", "ok")


def test_the_mil_interpreter_is_not_called_core_ml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert doctor.engines()["coreml"] == "needs macOS"
    monkeypatch.setattr("sys.platform", "darwin")
    assert doctor.engines()["coreml"] == "usable"


def test_not_installed_is_exit_4(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.importlib.metadata, "requires", missing)
    assert main(["doctor"]) == 4
    assert "pip install ." in capsys.readouterr().err


releases = st.lists(st.integers(0, 30), min_size=1, max_size=3).map(
    lambda parts: ".".join(map(str, parts))
)


@given(releases, releases, releases, st.sampled_from(["==", ">=", "<=", "<", ">"]))
def test_versions_compare_as_packaging_does(found: str, one: str, two: str, sign: str) -> None:
    tested = f"{sign}{one},<{two}"
    assert doctor.satisfies(found, tested) == SpecifierSet(tested).contains(found)


def test_clauses_that_edgeexpo_does_not_use_never_pass() -> None:
    assert not doctor.satisfies("1.0", "~=1.0")
    assert doctor.satisfies("1.0", "")


@pytest.mark.parametrize("problem", [None, "not installed"])
def test_the_form_of_the_stages_is_told(
    monkeypatch: pytest.MonkeyPatch, problem: str | None
) -> None:
    monkeypatch.setattr(doctor, "numba_problem", lambda: problem)
    with using_kernels("numpy"):
        assert doctor.stages() == {"kernels": "numpy", "numba": problem or "usable"}
