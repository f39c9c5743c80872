"""The child process of ``edgeexpo bench``, which loads one program and times its runs.

Each program has its own process, so that its peak memory is measured separately. The child reads
one JSON job from stdin and answers ``{"ready": true}``. Then it runs the program once for every
further line and answers with the time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from edgeexpo.errors import BundleError, EdgeexpoError, EngineError
from edgeexpo.failures import described, reading
from edgeexpo.silence import protected_stdout, quiet_libraries
from edgeexpo.spec import ModelSpec, from_json

if TYPE_CHECKING:
    import numpy as np


def serve_timing() -> int:
    """Answer the parent on stdout until it closes stdin, and return the exit code."""
    job = json.loads(sys.stdin.readline())
    with protected_stdout() as stream, quiet_libraries():
        try:
            step = prepare_step(job)
            _answer(stream, {"ready": True})
            for _ in sys.stdin:
                started = time.perf_counter()
                step()
                ms = (time.perf_counter() - started) * 1000
                _answer(stream, {"ms": ms, "peak_rss_mb": peak_rss_mb()})
        except EdgeexpoError as error:
            _answer(stream, {"error": type(error).__name__, "message": str(error)})
            return error.exit_code
        except Exception as error:  # noqa: BLE001 - a program may raise anything
            message = f"timing {Path(job['path']).name} failed: {described(error)}"
            _answer(stream, {"error": EngineError.__name__, "message": message})
            return EngineError.exit_code
    return 0


def prepare_step(job: Mapping[str, Any]) -> Callable[[], object]:
    """Load the program of a job and return a function that runs it once on the same picture.

    The job names the engine and not the target, so that this process need not know the target's
    record.

    Args:
        job: The keys ``engine``, ``path``, ``spec``, ``size`` (height, width) and ``threads``.
            ``engine`` is ``module:Class``, or ``None`` for the reference program in torch.

    Raises:
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact.
    """
    spec = from_json(ModelSpec, job["spec"])
    height, width = job["size"]
    inputs = pictures(spec, height, width)
    if job["engine"] is None:
        return _torch_step(Path(job["path"]), list(inputs.values()), job["threads"])
    from edgeexpo.runtime.engines.base import EngineOptions, open_engine_class

    options = EngineOptions(job["threads"])
    engine = open_engine_class(job["engine"], Path(job["path"]), spec, options)
    return lambda: engine.run(inputs)


def pictures(spec: ModelSpec, height: int, width: int) -> dict[str, np.ndarray]:
    """Return seeded uniform noise for every input: 1xCxHxW float32 in the input's value range."""
    import numpy as np

    generator = np.random.default_rng(0)
    return {
        tensor.name: generator.uniform(
            *tensor.value_range, size=(1, tensor.channels, *(tensor.size or (height, width)))
        ).astype(np.float32)
        for tensor in spec.inputs
    }


def peak_rss_mb() -> float:
    """Return the largest resident memory of this process so far, in MB (10^6 bytes).

    On Linux, ``ru_maxrss`` also counts the parent's memory before ``exec``. ``VmHWM`` does not.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text("utf-8").splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _torch_step(path: Path, inputs: list[np.ndarray], threads: int) -> Callable[[], object]:
    import torch

    torch.set_num_threads(threads)
    with reading(path, BundleError, "is not a readable program", "export the bundle again"):
        module = torch.export.load(path).module(check_guards=False)
    tensors = [torch.from_numpy(x) for x in inputs]

    def step() -> object:
        with torch.inference_mode():
            return module(*tensors)

    return step


def _answer(stream: TextIO, document: Mapping[str, Any]) -> None:
    stream.write(json.dumps(document) + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(serve_timing())
