"""The frozen public names, which change only by a deliberate decision."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

VERBS = [
    "bench",
    "check_parity",
    "debug",
    "evaluate",
    "export_bundle",
    "inspect",
    "plan_export",
    "prune",
    "quantize",
    "sensitivity",
    "train",
    "tune",
]
PUBLIC = {
    "edgeexpo": ["__version__", *VERBS],
    "edgeexpo.runtime": [
        "Engine",
        "EngineOptions",
        "FakeEngine",
        "FrameFormat",
        "Result",
        "Session",
        "Summary",
        "load",
    ],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_are_frozen_and_resolve(module: str) -> None:
    loaded = importlib.import_module(module)
    assert sorted(loaded.__all__) == PUBLIC[module]
    assert all(getattr(loaded, name) is not None for name in PUBLIC[module])


def test_the_package_shows_its_names_and_costs_nothing_to_import() -> None:
    check = (
        "import sys, time; before = time.perf_counter(); import edgeexpo; "
        "spent = time.perf_counter() - before; "
        "print(spent < 0.1, 'torch' in sys.modules, 'numpy' in sys.modules, *dir(edgeexpo))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    fast, torch, numpy, *names = done.stdout.split()
    assert (fast, torch, numpy) == ("True", "False", "False")
    assert set(names) >= {"__version__", *VERBS}


def test_no_module_takes_the_place_of_a_function() -> None:
    import edgeexpo

    for module in pkgutil.walk_packages(edgeexpo.__path__, "edgeexpo."):
        assert module.name.removeprefix("edgeexpo.") not in VERBS
    for name in VERBS:
        getattr(edgeexpo, name)  # This imports all modules that the function needs.
    functions = {name: getattr(edgeexpo, name) for name in VERBS}
    assert [n for n, f in functions.items() if not inspect.isfunction(f)] == []
    assert all(f.__name__ == name for name, f in functions.items())


def test_unknown_names_are_attribute_errors() -> None:
    import edgeexpo

    with pytest.raises(AttributeError, match="no attribute 'exporter'"):
        _ = edgeexpo.exporter


@pytest.mark.parametrize(
    "module",
    [
        "edgeexpo.imaging",
        "edgeexpo.runtime",
        "edgeexpo.runtime.engines.onnx",
        "edgeexpo.runtime.engines.executorch",
        "edgeexpo.runtime.engines.coreml",
        "edgeexpo.cli",
        "edgeexpo.cli.bench",
        "edgeexpo.cli.doctor",
        "edgeexpo.cli.inspect",
    ],
)
def test_the_device_side_imports_no_framework(module: str) -> None:
    heavy = "{'torch', 'coremltools', 'executorch', 'onnx', 'onnxruntime', 'PIL', 'skimage'}"
    check = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_runtime_loads_neither_faults_nor_training() -> None:
    check = (
        "import sys, edgeexpo.runtime.session, edgeexpo.runtime.engines.isolated\n"
        "print([m for m in sys.modules if m.startswith(('edgeexpo.testing', 'edgeexpo.training', "
        "'edgeexpo.models', 'edgeexpo.parity'))])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
