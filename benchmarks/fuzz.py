"""Damage model files and observe the engine that loads them, and its caller.

    python benchmarks/fuzz.py [--count 10000]                 # ONNX, a network of two convolutions
    python benchmarks/fuzz.py --target executorch --count 500
    python benchmarks/fuzz.py --bundle BUNDLE [--target onnx] # the artefact of a bundle; litert too

Each file is an artefact with one mutation. An engine in its own process loads it, with a limit on
time and memory. In an app the manifest's digest refuses every such file before any engine sees it.
This script shows what happens if the author of the file also made the digest.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import EngineError
from edgeexpo.runtime.engines.base import Engine, EngineOptions, open_engine_class
from edgeexpo.runtime.engines.worker import LostError, Worker
from edgeexpo.spec import ModelSpec, TensorSpec
from edgeexpo.targets import target_named
from edgeexpo.testing.mutated.damage import DAMAGES, damaged

SPEC = ModelSpec("two", "t", ("x",), (TensorSpec("y0"),), (TensorSpec("y_hat"),), halo=2)
"""Specification of the default network."""

SIDE = 16
"""Height and width of the network's input, in pixels."""

OUTCOMES = ("refused", "failed", "ran", "died", "hung")
"""Outcomes of a file.

The engine refused to load it, failed to run it, or ran it; or its process died, or was ended at the
time limit.
"""

MEMORY = 2 << 30
"""Bytes that a process may take beyond those at its start."""

START_LIMIT = 300.0
"""Seconds that a process may take to start."""

DAMAGED = ("executorch", "litert", "onnx")


@dataclass
class Tally:
    """Counts of outcomes by mutation, and the last words of processes that died."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    slowest: float = 0.0

    def total(self, outcome: str) -> int:
        """Return the number of files with an outcome."""
        return sum(n for (_, found), n in self.counts.items() if found == outcome)


def open_limited(name: str, path: Path, spec: ModelSpec, options: EngineOptions) -> Engine:
    """Open an engine as the runtime does, in a process that may not take all memory."""
    engine = open_engine_class(name, path, spec, options)
    # Only now: the first artefact is whole, and its engine brings libraries of its own size.
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return engine


class Fuzz:
    """Mutated files through one engine.

    Args:
        target: ``onnx``, ``executorch`` or ``litert``.
        data: The artefact.
        spec: Its model.
        inputs: The inputs of a run, NCHW float32 by name.
        limit: Seconds for a load or a run.
    """

    def __init__(
        self,
        target: str,
        data: bytes,
        spec: ModelSpec,
        inputs: Mapping[str, np.ndarray],
        limit: float,
    ) -> None:
        self._target, self._data, self._spec = target_named(target), data, spec
        self._inputs, self._limit = inputs, limit
        self._worker: Worker | None = None
        self._whole = Path()

    def run(self, count: int, seed: int) -> Tally:
        """Mutate the artefact ``count`` times and return the outcomes."""
        tally = Tally()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"damaged{self._target.suffix}"
            self._whole = file.with_stem("whole")
            self._whole.write_bytes(self._data)
            for index in range(count):
                random = np.random.default_rng((seed, index))
                damage = DAMAGES[index % len(DAMAGES)]
                file.write_bytes(damaged(self._data, damage, random))
                started = time.perf_counter()
                outcome = self._judge(file, tally)
                tally.slowest = max(tally.slowest, time.perf_counter() - started)
                tally.counts[damage.__name__, outcome] += 1
        self.close()
        return tally

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _judge(self, file: Path, tally: Tally) -> str:
        outcome, opener = "refused", f"{Path(__file__).stem}:open_limited"
        options, engine = EngineOptions(threads=1), self._target.runner.engine
        if self._worker is None:
            self._worker, tally.starts = Worker(), tally.starts + 1
            # The first load imports the engine, which takes its time.
            self._worker.load(engine, self._whole, self._spec, options, START_LIMIT, opener)
            self._worker.close(START_LIMIT)
        try:
            self._worker.load(engine, file, self._spec, options, self._limit, opener)
            outcome = "failed"
            self._worker.run(self._inputs, self._limit)
            outcome = "ran"
            self._worker.close(self._limit)
        except LostError as lost:
            self.close()
            tally.deaths[str(lost).partition(": ")[2]] += 1
            return "hung" if lost.reason == "hang" else "died"
        except EngineError:
            pass
        return outcome


def onnx_network() -> bytes:
    """Return an ONNX file of two 3x3 convolutions with a ReLU between, for any size."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = [random.standard_normal(s, np.float32) / 8 for s in ((8, 3, 3, 3), (3, 8, 3, 3))]
    shape = [1, 3, "h", "w"]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["y0", "first"], ["inner"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["inner"], ["positive"]),
            helper.make_node("Conv", ["positive", "second"], ["y_hat"], pads=[1, 1, 1, 1]),
        ],
        "two",
        [helper.make_tensor_value_info("y0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y_hat", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(w, n) for w, n in zip(weights, ("first", "second"), strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


def executorch_network() -> bytes:
    """Return a ``.pte`` file of the same network with a fixed size, lowered to XNNPACK."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 3, padding=1)
    ).eval()
    program = torch.export.export(network, (torch.zeros(1, 3, SIDE, SIDE),))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch().buffer)


NETWORKS = {"onnx": onnx_network, "executorch": executorch_network}
"""Functions that make the default network, by target."""


def subject(target: str, bundle: Path | None) -> tuple[bytes, ModelSpec, dict[str, np.ndarray]]:
    """Return the artefact to damage, its model, and inputs for it."""
    random = np.random.default_rng(1)
    if bundle is None:
        picture = random.random((1, 3, SIDE, SIDE), np.float32)
        return NETWORKS[target](), SPEC, {"y0": picture}
    opened = Bundle.open(bundle)
    artifact = opened.select(target)
    spec, size = opened.manifest.model, artifact.sizes.smallest
    inputs = {
        t.name: random.random((1, t.channels, *(t.size or size)), np.float32) for t in spec.inputs
    }
    return opened.file(artifact.file).read_bytes(), spec, inputs


def print_table(tally: Tally) -> None:
    """Print the outcomes by mutation, then the causes of death of processes."""
    print(f"{'':10}" + "".join(f"{outcome:>9}" for outcome in OUTCOMES))
    for name in (damage.__name__ for damage in DAMAGES):
        print(f"{name:10}" + "".join(f"{tally.counts[name, o]:9}" for o in OUTCOMES))
    print(f"{'all':10}" + "".join(f"{tally.total(o):9}" for o in OUTCOMES))
    print(f"{tally.starts} processes; the slowest file took {tally.slowest:.2f} s")
    for words, times in tally.deaths.most_common(12):
        print(f"  {times:5} x {words}")


def main() -> None:
    """Print the outcomes of the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--target", choices=DAMAGED, default="onnx")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds for a load or a run")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.bundle is None and given.target not in NETWORKS:
        parser.error(f"--target {given.target} needs a --bundle with such an artefact")
    data, spec, inputs = subject(given.target, given.bundle)
    tally = Fuzz(given.target, data, spec, inputs, given.limit).run(given.count, given.seed)
    if given.json:
        facts = {outcome: tally.total(outcome) for outcome in OUTCOMES}
        json.dump({**facts, "deaths": tally.deaths, "starts": tally.starts}, sys.stdout)
    else:
        print(f"{given.target}: {given.count} damaged copies of {len(data)} bytes")
        print_table(tally)


if __name__ == "__main__":
    main()
