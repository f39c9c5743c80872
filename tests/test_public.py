"""The public names are frozen: adding or removing one is a deliberate decision."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

PUBLIC = {
    "edgeexpo": ["__version__", "check_parity", "export_bundle"],
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
