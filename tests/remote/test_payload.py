"""The part of edgeexpo that is sent to another machine."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from edgeexpo.remote.payload import payload

MOST_BYTES = 500_000
"""Largest size of the zip."""


def test_the_zip_is_small_and_always_the_same():
    data, sha256 = payload()
    payload.cache_clear()
    assert payload() == (data, sha256)
    assert len(data) < MOST_BYTES


def test_what_is_sent_needs_numpy_alone(tmp_path):
    zipfile.ZipFile(io.BytesIO(payload()[0])).extractall(tmp_path / "code")
    bare = tmp_path / "packages"
    bare.mkdir()
    place = Path(np.__file__).parent
    for folder in (place, *place.parent.glob("numpy.libs"), *place.parent.glob("numpy-*")):
        (bare / folder.name).symlink_to(folder)
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import edgeexpo.remote.serving, edgeexpo.runtime.engines.worker_process\n"
        "import edgeexpo.workflows.latency_child, edgeexpo.remote.taps\n"
        "from edgeexpo.remote.facts import facts\n"
        "assert facts(sys.argv[1])['numpy']\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules} - sys.stdlib_module_names))\n"
    )
    # -S: no package of this environment is seen
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code, str(tmp_path / "code"), str(bare)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [name for name in eval(ended.stdout) if not name.startswith("_")]
    assert found == ["edgeexpo", "numpy"]


def test_what_is_sent_finds_missing_numpy_without_it(tmp_path):
    zipfile.ZipFile(io.BytesIO(payload()[0])).extractall(tmp_path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import edgeexpo.remote.serving\n"
        "from edgeexpo.remote.facts import facts\n"
        "print(facts(sys.argv[1])['numpy'])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-S", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "None\n"
