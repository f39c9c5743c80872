"""Print the distributions that `pip install edgeexpo` installs without extras, with their sizes.

    python benchmarks/base_install.py [BUNDLE]

The script makes a virtual environment in a temporary folder and installs this checkout there. It
counts the bytes of every distribution's files, compiled files included and pip's own left out. It
then lets that Python import `edgeexpo.runtime` and, if a bundle is named, run its ONNX artefact on
noise.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

BUDGET_MB = 200
"""Largest accepted size of the installation, in MB."""

FRAMEWORKS = ("torch", "tensorflow", "jax", "coremltools", "executorch", "onnx")
"""Packages that an installation without extras must not contain."""

COUNT = """
import importlib.metadata, importlib.util, json, sys
sizes = {}
for found in importlib.metadata.distributions():
    files = {found.locate_file(f).resolve() for f in found.files or ()}
    sizes[found.metadata["Name"]] = sum(f.stat().st_size for f in files if f.is_file())
there = [name for name in sys.argv[1:] if importlib.util.find_spec(name)]
print(json.dumps([sizes, there]))
"""
"""Program that prints each distribution's size in bytes, and the frameworks that it can import."""

RUN = """
import sys
import numpy as np
from edgeexpo import runtime
if len(sys.argv) > 1:
    with runtime.load(sys.argv[1]) as session:
        noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
        picture = session(*[noise] * len(session.spec.frames))
        print(f"{session.artifact.file} in {session.engine_name}: {picture.shape} {picture.dtype}")
"""
"""Program that imports the runtime and runs a bundle on noise."""


def main() -> int:
    """Print the table; the exit code is 1 when the installation is too large or has a framework."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, nargs="?")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        source = Path(folder) / "source"  # the build leaves files in its folder
        ignored = shutil.ignore_patterns(".*", "build", "*.egg-info")
        shutil.copytree(Path(__file__).resolve().parents[1], source, symlinks=True, ignore=ignored)
        subprocess.run([python, "-m", "pip", "install", "--quiet", source], check=True)

        def ask(*arguments: str | Path) -> str:
            # The working folder is not the checkout, which Python would import instead of the
            # installed package.
            done = subprocess.run(
                [python, "-c", *arguments], check=True, capture_output=True, text=True, cwd=folder
            )
            return done.stdout

        sizes, there = json.loads(ask(COUNT, *FRAMEWORKS))
        ran = ask(RUN, *([given.bundle.resolve()] if given.bundle else []))
    own = {name: size for name, size in sizes.items() if name not in ("pip", "setuptools")}
    for name, size in sorted(own.items(), key=lambda item: -item[1]):
        print(f"{name:20} {size / 1e6:7.1f} MB {size / (1 << 20):7.1f} MiB")
    total = sum(own.values())
    print(f"{'together':20} {total / 1e6:7.1f} MB {total / (1 << 20):7.1f} MiB")
    print(f"frameworks among them: {', '.join(there) or 'none'}")
    print(ran or "edgeexpo.runtime is imported", end="" if ran else "\n")
    return int(total > BUDGET_MB * 1e6 or bool(there))


if __name__ == "__main__":
    sys.exit(main())
