"""Damaged files go through an engine's wrapper: a short run of ``benchmarks/fuzz.py``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.parametrize(
    ("target", "count"),
    [("onnx", 60), pytest.param("executorch", 12, marks=pytest.mark.slow)],
)
def test_damaged_files_neither_crash_nor_hang_the_caller(target, count):
    done = subprocess.run(
        [sys.executable, FUZZ, "--target", target, "--count", str(count), "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    facts = json.loads(done.stdout.splitlines()[-1])
    found = {name: facts[name] for name in ("refused", "failed", "ran", "died", "hung")}
    assert sum(found.values()) == count
    assert found["refused"] > count / 4
    assert found["hung"] == 0
    # An exception that the wrapper does not declare ends the process with exit code 1.
    assert not [words for words in facts["deaths"] if "exit code" in words]
