"""Measure whether I/O binding and the memory arena of ONNX Runtime are worth using.

    python benchmarks/engine_settings.py BUNDLE [--side 512] [--runs 40] [--threads 2]

The bundle's ONNX artefact runs. Binding: `run` is compared with `run_with_iobinding` into fixed
buffers, with inputs bound for every run and bound once. The calls take turns. Arena: runs with and
without the arena each have their own process. RSS is read after the first run and after the last
run.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measuring import resident_mib, turns

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.runtime.engines.onnx import session_options
from edgeexpo.workflows.latency_child import peak_rss_mb, pictures

MIB = 1 << 20
"""Bytes of a MiB."""


def opened(path: Path, threads: int, arena: bool = True) -> Any:
    """Return a bare ONNX Runtime session."""
    import onnxruntime

    options = session_options()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = options.enable_mem_pattern = arena
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def binding(path: Path, threads: int, inputs: Mapping[str, np.ndarray], runs: int) -> None:
    """Print the milliseconds of a run with and without binding."""
    import onnxruntime

    session = opened(path, threads)
    value = onnxruntime.OrtValue.ortvalue_from_numpy
    buffers = {
        entry.name: np.empty_like(output)
        for entry, output in zip(session.get_outputs(), session.run(None, inputs), strict=True)
    }
    bound = session.io_binding()

    def bind() -> None:
        for name, array in inputs.items():
            bound.bind_ortvalue_input(name, value(array))
        for name, array in buffers.items():
            bound.bind_ortvalue_output(name, value(array))

    def bind_and_run() -> None:
        bind()
        session.run_with_iobinding(bound)

    bind()
    calls: dict[str, Callable[[], object]] = {
        "run": lambda: session.run(None, inputs),
        "bound for every run": bind_and_run,
        "bound once": lambda: session.run_with_iobinding(bound),
    }
    for name, times in turns(calls, runs).items():
        least, middle = min(times), statistics.median(times)
        print(f"  {name:20} p50 {middle:8.2f} ms, least {least:8.2f} ms")


def memory(
    path: Path, threads: int, inputs: Mapping[str, np.ndarray], runs: int, arena: bool
) -> None:
    """Print time, page faults and memory of runs in this process."""
    session = opened(path, threads, arena)
    spent, resident, faults = [], [], []
    for _ in range(runs):
        before, start = _faults(), time.perf_counter()
        session.run(None, inputs)
        spent.append((time.perf_counter() - start) * 1000)
        faults.append(_faults() - before)
        resident.append(resident_mib())
    print(
        f"  {'arena' if arena else 'no arena':10} p50 {statistics.median(spent):8.2f} ms, "
        f"{statistics.median(faults):6.0f} page faults a run, RSS {resident[0]:4.0f} to "
        f"{resident[-1]:4.0f} MiB, peak {peak_rss_mb() * 1e6 / MIB:4.0f} MiB"
    )


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--arena", choices=["yes", "no"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    bundle = Bundle.open(given.bundle)
    artifact = bundle.by_preference("onnx", None)[0]
    path = bundle.file(artifact.file)
    job = (path, given.threads, pictures(bundle.manifest.model, given.side, given.side), given.runs)
    if given.arena:
        memory(*job, given.arena == "yes")
        return
    print(f"{artifact.file} at {given.side}x{given.side}, {given.threads} threads", flush=True)
    binding(*job)
    for arena in ("yes", "no"):
        again = [sys.executable, *sys.argv, "--arena", arena]
        print(subprocess.run(again, check=True, capture_output=True, text=True).stdout, end="")


if __name__ == "__main__":
    main()
