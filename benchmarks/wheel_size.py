"""What the wheel weighs, with the weights that ship and without them.

    python benchmarks/wheel_size.py

Builds the wheel of a copy of this checkout in a temporary folder and prints the compressed bytes
of its parts. What a wheel without weights would weigh is the sum of all other parts.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
WEIGHTS = "edgeexpo/models/weights/"


def build_wheel(folder: Path) -> Path:
    """Build the wheel of a copy of this checkout; what the build leaves behind stays in it."""
    ignored = shutil.ignore_patterns(".*", "build", "dist", "runs", "*.egg-info", "__pycache__")
    tree, out = folder / "tree", folder / "out"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=ignored)
    subprocess.run(
        [sys.executable, "-c", BUILD, out], cwd=tree, check=True, stdout=subprocess.DEVNULL
    )
    return next(out.glob("*.whl"))


def part(name: str) -> str:
    """Part of the wheel that a file belongs to."""
    if not name.startswith(WEIGHTS):
        return "code" if name.endswith((".py", "py.typed")) else "pages and metadata"
    kinds = {
        ".pruned.int8.safetensors": "weights, pruned and INT8",
        ".pruned.safetensors": "weights, pruned",
        ".int8.safetensors": "weights, INT8",
        ".safetensors": "weights, float",
    }
    return next((words for end, words in kinds.items() if name.endswith(end)), "cards of weights")


def main() -> None:
    """Print one row a part, then the wheel with and without weights."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        total = wheel.stat().st_size
        parts: dict[str, list[tuple[int, int]]] = {}
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                sizes = (info.compress_size, info.file_size)
                parts.setdefault(part(info.filename), []).append(sizes)
    print(f"{'part':26} {'files':>5} {'in the wheel':>13} {'installed':>11}")
    for name, rows in sorted(parts.items(), key=lambda item: -sum(row[0] for row in item[1])):
        packed, unpacked = (sum(column) / 1e6 for column in zip(*rows, strict=True))
        print(f"{name:26} {len(rows):5} {packed:10.2f} MB {unpacked:8.2f} MB")
    weights = sum(
        packed for name, rows in parts.items() if name.startswith("weights") for packed, _ in rows
    )
    print(f"{'wheel':26} {'':5} {total / 1e6:10.2f} MB")
    print(f"{'wheel without weights':26} {'':5} {(total - weights) / 1e6:10.2f} MB")


if __name__ == "__main__":
    main()
