"""The fixture works in another project, run by pytest itself."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from edgeexpo.errors import MissingDependencyError
from edgeexpo.parity import check
from tests.support.golden_bundle import write_golden_bundle

pytest_plugins = ["pytester"]

INSTALLED = any(e.name == "edgeexpo" for e in importlib.metadata.entry_points(group="pytest11"))
# The entry point exists only once the project has been installed with it.
LOADED = () if INSTALLED else ("-p", "edgeexpo.testing.pytest_plugin")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {
        "good": write_golden_bundle(folder / "good"),
        "bad": write_golden_bundle(folder / "bad", offset=0.1),
    }


def run(pytester, body, *arguments):
    pytester.makepyfile(body)
    return pytester.runpytest(*LOADED, "-p", "no:cacheprovider", *arguments)


def test_a_bundle_that_ships_passes_and_its_numbers_are_kept(pytester, bundles):
    found = run(
        pytester,
        f"""
        def test_ships(edge_parity):
            edge_parity({str(bundles["good"])!r}, reference="golden").check()
        """,
        "--edge-gate=psnr>=60",
        "--junitxml=out.xml",
    )
    found.assert_outcomes(passed=1)
    root = ElementTree.parse(pytester.path / "out.xml")
    kept = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert kept["mean.fp32.onnx.status"] == "verified"
    assert float(kept["mean.fp32.onnx.psnr"]) > 100


def test_one_that_does_not_fails_with_the_verdict_in_words(pytester, bundles):
    found = run(
        pytester,
        f"""
        def test_ships(edge_parity):
            edge_parity({str(bundles["bad"])!r}, reference="golden", gates=["psnr>=60"]).check()
        """,
        f"--edge-report={pytester.path / 'pages'}",
    )
    found.assert_outcomes(failed=1)
    found.stdout.fnmatch_lines(
        [
            "*mean: parity failed (cuda: NVIDIA GPU)",
            "*mean.fp32.onnx: failed by onnxruntime, worst photograph PSNR 20 dB",
            "*PSNR on the worst photograph: found 20 dB*; at least 60 dB is required.",
        ]
    )
    assert "parity failed" in (pytester.path / "pages" / "bad.html").read_text("utf-8")


def test_options_stand_in_for_what_the_test_leaves_out(pytester, bundles):
    found = run(
        pytester,
        f"""
        def test_numbers(edge_parity):
            parity = edge_parity({str(bundles["good"])!r}, target="onnx", precision="fp32")
            assert parity.report is parity.report
            assert parity.report.reference.device == "cuda"

        def test_bad_arguments(edge_parity):
            edge_parity({str(bundles["good"])!r}, images="nowhere").check()
        """,
        "--edge-reference=golden",
    )
    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["*UsageError: `reference='golden'` has its own pictures*"])


def test_what_could_not_be_run_fails_only_when_strict(pytester, bundles, monkeypatch):
    def missing(*_):
        raise MissingDependencyError("no engine here")

    monkeypatch.setattr(check, "open_lab_engine", missing)
    found = run(
        pytester,
        f"""
        import pytest

        @pytest.mark.parametrize("strict", [False, True])
        def test_ships(edge_parity, strict):
            edge_parity({str(bundles["good"])!r}, reference="golden").check(strict=strict)
        """,
    )
    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["*not verified: mean.fp32.onnx", "*no engine here"])


def test_a_project_that_does_not_use_it_pays_nothing():
    heavy = "{'torch', 'numpy', 'onnxruntime', 'PIL', 'jinja2', 'skimage'}"
    program = (
        "import sys, edgeexpo.testing.pytest_plugin as p; "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_plugin_is_still_loaded_by_its_old_name():
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "edgeexpo.parity.pytest_plugin", "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=os.path.abspath(os.sep),
        env=environment,
    )
    assert "--edge-reference" in done.stdout, done.stderr
