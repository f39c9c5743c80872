"""Support of the verbs on each platform, and the markers that leave out unavailable packages."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.markers import Marker

from edgeexpo.cli import VERBS, doctor, main
from edgeexpo.workflows import platforms
from edgeexpo.workflows.platforms import PLATFORMS, VERB_PACKAGES, marker_holds, verb_support

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BY_TITLE = {place.title: place for place in PLATFORMS}


def pretend(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    """Make this process seem to run on another system and processor."""
    monkeypatch.setattr(platforms.sys, "platform", system)
    monkeypatch.setattr(platforms.platform, "machine", lambda: machine)


def test_every_verb_has_an_expectation_on_every_platform() -> None:
    assert set(VERB_PACKAGES) == set(VERBS)
    for place in PLATFORMS:
        for verb in VERBS:
            assert str(verb_support(verb, place))


def test_only_the_platform_of_the_tests_is_called_tested() -> None:
    assert [p.title for p in PLATFORMS if p.tested] == ["Linux on x86-64"]
    assert {verb_support(v, BY_TITLE["Linux on x86-64"]).status for v in VERBS} == {"tested"}
    assert {verb_support(v, BY_TITLE["macOS on Apple silicon"]).status for v in VERBS} == {
        "expected"
    }


@pytest.mark.parametrize(
    ("verb", "title", "words"),
    [
        (
            "export",
            "macOS on Apple silicon",
            "expected, not run there; no Hexagon, since onnxruntime-qnn has no wheel",
        ),
        (
            "export",
            "Windows on x86-64",
            "expected, not run there; no Core ML, since coremltools has no wheel; no LiteRT, "
            "since litert-torch has no wheel; no Core AI, since coreai-core has no wheel; "
            "an engine that crashes ends the verb",
        ),
        ("run", "Windows on ARM64", "expected, not run there"),
        ("train", "Windows on ARM64", "not available: torch has no wheel for Windows on ARM64"),
        ("run", "macOS on Intel", "not available: onnxruntime has no wheel for macOS on Intel"),
        ("doctor", "macOS on Intel", "expected, not run there"),
    ],
)
def test_a_verb_is_expected_or_its_lack_is_named(verb: str, title: str, words: str) -> None:
    assert str(verb_support(verb, BY_TITLE[title])) == words


def test_an_unknown_platform_lacks_every_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "freebsd14", "riscv64")
    here = platforms.this_platform()
    assert here.title == "freebsd14 on riscv64"
    assert {v for v in VERBS if verb_support(v, here).status == "expected"} == {"doctor"}


def test_processors_are_known_by_each_systems_name_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for system, machine, title in (
        ("win32", "AMD64", "Windows on x86-64"),
        ("win32", "ARM64", "Windows on ARM64"),
        ("darwin", "arm64", "macOS on Apple silicon"),
        ("linux", "aarch64", "Linux on ARM64"),
    ):
        pretend(monkeypatch, system, machine)
        assert platforms.this_platform().title == title


def test_doctor_tells_of_each_verb_in_text_and_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_importable", lambda module: "usable")
    place = BY_TITLE["Windows on x86-64"]
    monkeypatch.setattr(doctor, "this_platform", lambda: place)
    assert doctor.verbs()["run"] == {"status": "expected", "note": ""}
    assert list(doctor.verbs()) == list(VERBS)
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert "Verbs on Windows on x86-64:" in lines
    assert "  run          expected, not run there" in lines


MARKERS = [
    requirement.partition(";")[2].strip()
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for requirement in group
    if ";" in requirement
]


@pytest.mark.parametrize("marker", MARKERS)
@pytest.mark.parametrize("place", PLATFORMS, ids=lambda place: place.title)
def test_markers_mean_here_what_they_mean_to_pip(
    marker: str, place: platforms.Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, place.system, place.machines[0])
    environment = {"sys_platform": place.system, "platform_machine": place.machines[0]}
    assert marker_holds(marker) == Marker(marker).evaluate(environment)
    with_extra = f'({marker}) and extra == "export"'
    assert marker_holds(with_extra) == Marker(with_extra).evaluate(
        environment | {"extra": "export"}
    )


def test_markers_leave_out_exactly_what_has_no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in (p for p in PLATFORMS if "torch" not in p.without):
        pretend(monkeypatch, place.system, place.machines[0])
        left_out = {
            requirement.partition("==")[0]
            for group in PROJECT["optional-dependencies"].values()
            for requirement in group
            if not marker_holds(requirement.partition(";")[2].strip())
        }
        assert left_out == set(place.without), place.title


@given(st.sampled_from(["sys_platform != 'win32'", "python_version < '3.12'", "'a' == 'b'"]))
def test_a_marker_of_another_kind_is_refused(marker: str) -> None:
    with pytest.raises(ValueError, match="expected == of sys_platform"):
        marker_holds(marker)
