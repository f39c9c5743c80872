"""Time whole calls, networks and stages against an earlier commit, in one run.

    python benchmarks/stages.py [--work DIR] [--commit 5e091f7] [--runs 9] [--only exponet]

Three programs take turns on the same frames: the earlier commit, this checkout with NumPy's stages
(the base installation) and this checkout with compiled stages (the extra `fast`). Each has its own
process and loads a bundle that its own tree exported, INT8 and ONNX, with two threads. Sources and
bundles of both trees are kept in `--work`, so that a second run starts at once.

A whole call is `run_into` on uint8 RGB, or on `--layout`. Its stages are what remains without the
network. Each figure is the least of the runs. Other work on the machine slows all three programs,
so only the ratios of one run count. Processor time is printed as well: it counts both cores.

The last lines compare the ratios with the bars, and say how far the pictures of the two forms of
this checkout lie apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]

BARS = (
    ("exponet", (1080, 1920), "whole", 0.30),
    ("exponet", (3000, 4000), "whole", 0.34),
    ("kdfusion", (3000, 4000), "whole", 0.33),
    ("lrl-mobile", (3000, 4000), "stages", 0.40),
)
"""Network, size, what is compared, and the largest ratio with compiled stages."""

BASE_BAR = 0.70
"""Largest ratio with NumPy's stages."""

FORMS = ("numpy", "numba")
"""Values of EDGEEXPO_KERNELS for this checkout's two programs."""

EXPORT = "import sys; from edgeexpo.cli import main; sys.exit(main(sys.argv[1:]))"


class Program:
    """One tree and form that runs a network in a process of its own."""

    def __init__(self, tree: Path, form: str, bundle: Path, frames: Path, layout: str) -> None:
        command = [sys.executable, __file__, "--child", str(bundle)]
        command += ["--frames", str(frames), "--layout", layout]
        environment = {**os.environ, "PYTHONPATH": str(tree), "EDGEEXPO_KERNELS": form}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, word: str) -> Any:
        """Send one word and return the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def serve(bundle: Path, frames: np.ndarray, layout: str) -> None:
    """Answer `run` with the milliseconds of one call, and `save PATH` by writing its picture.

    Every tree has to offer what this function uses.
    """
    from edgeexpo import runtime

    stages: dict[str, float] = {}

    def observe(name: str, value: float, attributes: Mapping[str, str]) -> None:
        if name == "edgeexpo.frame.duration":
            stages[attributes["stage"]] = value * 1000

    chosen = runtime.FrameFormat(layout)
    with runtime.load(bundle, target="onnx", threads=2, frames=chosen, observe=observe) as session:
        taken = list(frames[: len(session.spec.frames)])
        out = np.empty_like(taken[0])
        for line in sys.stdin:
            word, _, path = line.strip().partition(" ")
            if word == "save":
                np.save(path, out)
                print(json.dumps(None), flush=True)
                continue
            started, worked = time.perf_counter(), time.process_time()
            session.run_into(out, *taken, ev=4.0)
            found = {"whole": (time.perf_counter() - started) * 1000}
            found["processor"] = (time.process_time() - worked) * 1000
            found |= stages
            found["stages"] = found["whole"] - found["network"]
            print(json.dumps(found), flush=True)


def shots(height: int, width: int, layout: str) -> np.ndarray:
    """Return two exposures of a scene with smooth areas, edges and a little noise, in a layout."""
    from edgeexpo import runtime
    from edgeexpo.runtime.frames import empty_frame, from_rgb

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 120, (height // 40 + 2, width // 40 + 2, 3))
    scene = coarse.repeat(40, 0).repeat(40, 1)[:height, :width].astype(np.float32)
    scene += np.linspace(0, 60, width, dtype=np.float32)[None, :, None]
    scene += rng.normal(0, 2, scene.shape).astype(np.float32)
    chosen = runtime.FrameFormat(layout)
    frames = [empty_frame(height, width, chosen) for _ in range(2)]
    for frame, gain in zip(frames, (0.6, 1.4), strict=True):
        from_rgb(scene * np.float32(gain / 255), chosen, frame)
    return np.stack(frames)


def unpack(commit: str, folder: Path) -> Path:
    """Write the tree of a commit to ``folder`` unless it lies there, and return the folder."""
    if not folder.exists():
        archive = subprocess.run(
            ["git", "archive", commit], cwd=ROOT, check=True, capture_output=True
        ).stdout
        with tarfile.open(fileobj=BytesIO(archive)) as tar:
            tar.extractall(folder, filter="tar")
    return folder


def exported(tree: Path, network: str, folder: Path) -> Path:
    """Export a network with a tree's own code unless the bundle lies there; return the bundle."""
    if not folder.exists():
        command = [sys.executable, "-c", EXPORT, "export", network, "--target", "onnx"]
        command += ["--precision", "int8", "-o", str(folder)]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        subprocess.run(command, cwd=tree, env=environment, check=True, stdout=subprocess.DEVNULL)
    return folder


def least(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the least of every figure."""
    return {key: min(row[key] for row in rows) for key in rows[0]}


def compare(
    programs: Mapping[str, Program], runs: int, folder: Path
) -> tuple[dict[str, dict[str, float]], int]:
    """Time programs in turns; return the least figures of each, and the largest step of codes."""
    times: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    for turn in range(runs + 2):
        for name, program in programs.items():
            row = program.ask("run")
            if turn > 1:  # the first two compile, load kernels and reserve memory
                times[name].append(row)
    pictures = []
    for form in FORMS:
        path = folder / f"{form}.npy"
        programs[form].ask(f"save {path}")
        pictures.append(np.load(path).astype(int))
    step = int(np.abs(pictures[0] - pictures[1]).max())
    return {name: least(rows) for name, rows in times.items()}, step


def main() -> int:
    """Print the table and the bars; exit code 1 when a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=ROOT / "dist" / "stages")
    parser.add_argument("--commit", default="5e091f7")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--only", help="one network")
    parser.add_argument("--layout", default="rgb", help="of frames and pictures, such as nv12")
    parser.add_argument("--frames", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        serve(given.child, np.load(given.frames), given.layout)
        return 0
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    trees = {"before": unpack(given.commit, work / given.commit), "now": ROOT}
    kept = True
    print(f"{given.layout}, two threads, least of {given.runs}, ms; ratios to {given.commit}")
    for network, size, figure, bar in BARS:
        if given.only not in (None, network):
            continue
        bundles = {
            name: exported(tree, network, work / "bundles" / name / network)
            for name, tree in trees.items()
        }
        frames = work / "frames.npy"
        np.save(frames, shots(*size, given.layout))
        started = [("before", "before", "")] + [(form, "now", form) for form in FORMS]
        programs = {
            name: Program(trees[tree], form, bundles[tree], frames, given.layout)
            for name, tree, form in started
        }
        try:
            found, step = compare(programs, given.runs, work)
        finally:
            for program in programs.values():
                program.close()
        print(f"{network} at {size[0]}x{size[1]}")
        for name, row in found.items():
            cells = [f"{key} {row[key]:8.1f}" for key in ("whole", "network", "stages")]
            ratios = [
                f"{key} {row[key] / found['before'][key]:.2f}"
                for key in ("whole", "stages", "processor")
            ]
            print(f"  {name:7} {'  '.join(cells)}   {'  '.join(ratios)}")
        for form, most in (("numba", bar), ("numpy", BASE_BAR)):
            ratio = found[form][figure] / found["before"][figure]
            verdict = "kept" if ratio <= most else "MISSED"
            kept &= ratio <= most
            print(f"  {form}: {figure} {ratio:.2f}, at most {most:.2f}: {verdict}")
        print(f"  pictures of the two forms differ by at most {step} code(s)")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
