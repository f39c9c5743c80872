"""Time a bundle's artefacts beside other ways to run the same network, with the error of each.

    python benchmarks/peers.py BUNDLE [BUNDLE ...] [--size 256,256] [--threads 2] [--runs 9]

Each program has a process of its own, and the processes take turns, so that a slow minute of the
machine affects all of them. A time is the least of the runs. The PSNR is the worst one over the
embedded photographs, against the float program in torch: a fast wrong peer does not count. The last
lines compare the fastest artefact of the bundle with the fastest peer that is at most 1 dB worse.

Peers are torch (eager, and compiled by inductor), OpenVINO with NNCF's own quantisation of the fp32
file, and MNN on the converted fp32 file. What is not installed is named in its row. MNN asks for
another version of protobuf than the exporters. Install it into an environment of its own, together
with NumPy, safetensors and platformdirs, and name its interpreter with ``--mnn-python``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from photograph_inputs import read_inputs, write_inputs

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.processor import cpu_features, processor_name
from edgeexpo.silence import protected_stdout
from edgeexpo.spec import ModelSpec
from edgeexpo.targets import target_named

Arrays = Mapping[str, np.ndarray]
REPOSITORY = Path(__file__).resolve().parents[1]

Step = Callable[[Arrays], np.ndarray]
"""Function from inputs 1xCxHxW float32 to the output."""

CLOSE = 1.0
"""Decibels that a peer may be worse by, and still count."""

ALIKE = 90.0
"""PSNR in dB from which on all programs show the same picture."""


def artefact(path: Path, spec: ModelSpec, threads: int, engine: str) -> Step:
    """Return the step of an artefact of the bundle in one of our engines."""
    from edgeexpo.runtime.engines.base import EngineOptions, open_engine_class

    opened, name = (
        open_engine_class(engine, path, spec, EngineOptions(threads)),
        spec.outputs[0].name,
    )
    return lambda inputs: opened.run(inputs)[name]


def torch_program(path: Path, spec: ModelSpec, threads: int, mode: str) -> Step:
    """Return the step of the float program in torch, eager or compiled by inductor."""
    import torch

    torch.set_num_threads(threads)
    module: Any = torch.export.load(path).module(check_guards=False)
    if mode == "inductor":
        module = torch.compile(module)

    def step(inputs: Arrays) -> np.ndarray:
        with torch.inference_mode():
            found = module(*(torch.from_numpy(inputs[t.name]) for t in spec.inputs))
        first = found[0] if isinstance(found, tuple) else found
        return np.asarray(first.numpy())

    return step


def openvino_by_nncf(path: Path, spec: ModelSpec, threads: int, pictures: str) -> Step:
    """Return the step of the fp32 file as NNCF quantises it for OpenVINO."""
    import nncf
    import openvino

    given = read_inputs(Path(pictures))
    model = openvino.Core().read_model(str(path))
    first = next(iter(given.values()))
    model.reshape({name: list(value.shape) for name, value in first.items()})
    quantised = nncf.quantize(model, nncf.Dataset(list(given.values())), subset_size=len(given))
    options = {"INFERENCE_NUM_THREADS": str(threads), "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(quantised, "CPU", options).create_infer_request()
    name = spec.outputs[0].name
    return lambda inputs: np.asarray(request.infer(dict(inputs))[name])


def mnn(path: Path, spec: ModelSpec, threads: int, _: str) -> Step:
    """Return the step of the fp32 file in MNN, which its own tool converts."""
    # MNN's own script for converting also sends statistics, for which it installs a package.
    library, expr, tools = (importlib.import_module(n) for n in ("MNN", "MNN.expr", "_tools"))
    converted = Path(tempfile.mkdtemp()) / "net.mnn"
    asked = ["-f", "ONNX", "--modelFile", str(path), "--MNNModel", str(converted)]
    tools.mnnconvert(["mnnconvert", *asked, "--bizCode", "edgeexpo"])
    manager = library.nn.create_runtime_manager(({"backend": 0, "numThread": threads},))
    names, outputs = [t.name for t in spec.inputs], [spec.outputs[0].name]
    network = library.nn.load_module_from_file(
        str(converted), names, outputs, runtime_manager=manager, shape_mutable=True
    )

    def step(inputs: Arrays) -> np.ndarray:
        given = []
        for name in names:
            value = expr.placeholder(list(inputs[name].shape), expr.NCHW)
            value.write(np.ascontiguousarray(inputs[name]))
            given.append(value)
        found = network.forward(given)
        first = found[0] if isinstance(found, list) else found
        return np.array(expr.convert(first, expr.NCHW).read())

    return step


MAKERS: Mapping[str, Callable[[Path, ModelSpec, int, str], Step]] = {
    "artefact": artefact,
    "torch": torch_program,
    "nncf": openvino_by_nncf,
    "mnn": mnn,
}


@dataclass
class Program:
    """A program to time.

    Attributes:
        title: Name in the table.
        kind: A key of :data:`MAKERS`.
        path: Its file.
        detail: What its maker needs besides.
        own: True for an artefact of the bundle in one of our engines.
        ms: Times of the runs.
        psnr: Worst PSNR in dB against the float program.
        problem: Why it does not run.
    """

    title: str
    kind: str
    path: Path
    detail: str
    own: bool
    ms: list[float] = field(default_factory=list)
    psnr: float | None = None
    problem: str | None = None


def programs(bundle: Bundle, pictures: Path) -> list[Program]:
    """Return the bundle's artefacts in all engines that run here, and the peers."""
    found = []
    for artifact in bundle.manifest.artifacts:
        found += [*_own(bundle, artifact)]
    reference = bundle.path / "reference.pt2"
    for mode in ("eager", "inductor"):
        found.append(Program(f"torch {mode}", "torch", reference, mode, own=False))
    fp32 = next(
        (a for a in bundle.manifest.artifacts if (a.target, a.precision) == ("onnx", "fp32")), None
    )
    if fp32 is not None:
        path = bundle.file(fp32.file)
        found.append(Program("OpenVINO, NNCF INT8", "nncf", path, str(pictures), own=False))
        found.append(Program("MNN fp32", "mnn", path, "", own=False))
    return found


def _own(bundle: Bundle, artifact: Artifact) -> list[Program]:
    record = target_named(artifact.target)
    runners = (record.runner, *record.more_runners) if record.runs_here else ()
    return [
        Program(
            f"{artifact.file} in {runner.name}",
            "artefact",
            bundle.file(artifact.file),
            runner.engine,
            own=True,
        )
        for runner in runners
        if artifact.precision in runner.precisions
        and not runner.lacks(artifact.precision, cpu_features())
    ]


def serve(bundle: str, kind: str, path: str, detail: str, pictures: str, threads: str) -> None:
    """Answer the parent on stdout: the outputs' file first, then a time for every line."""
    spec, given = Bundle.open(bundle).manifest.model, read_inputs(Path(pictures))
    with protected_stdout() as answers:  # libraries print, too

        def answer(document: Mapping[str, Any]) -> None:
            answers.write(json.dumps(document) + "\n")
            answers.flush()

        try:
            step = MAKERS[kind](Path(path), spec, int(threads), detail)
            outputs = [step(inputs) for inputs in given.values()]
        except Exception as error:  # noqa: BLE001 - a library may raise anything
            answer({"problem": f"{type(error).__name__}: {error}"[:200]})
            return
        with tempfile.NamedTemporaryFile(suffix=".npz", delete=False) as file:
            np.savez(file, *outputs)
        answer({"outputs": file.name})
        first = next(iter(given.values()))
        for _ in sys.stdin:
            start = time.perf_counter()
            step(first)
            answer({"ms": (time.perf_counter() - start) * 1e3})


def measure(
    bundle: Bundle,
    found: Sequence[Program],
    pictures: Path,
    args: argparse.Namespace,
) -> None:
    """Fill in the times and the errors of the programs."""
    threads, runs = args.threads, args.runs
    from edgeexpo.parity.metrics.pictures import psnr

    given = read_inputs(pictures)
    step = torch_program(bundle.path / "reference.pt2", bundle.manifest.model, threads, "eager")
    expected = [step(inputs) for inputs in given.values()]
    children = []
    for program in found:
        python = args.mnn_python if program.kind == "mnn" else sys.executable
        command = [python, __file__, "--serve", str(bundle.path), program.kind]
        child = subprocess.Popen(
            [*command, str(program.path), program.detail, str(pictures), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            text=True,
        )
        assert child.stdout is not None
        answer = json.loads(child.stdout.readline() or '{"problem": "the process died"}')
        program.problem = answer.get("problem")
        if program.problem is None:
            with np.load(answer["outputs"]) as outputs:
                pairs = zip(expected, (outputs[name] for name in outputs.files), strict=True)
                program.psnr = min(psnr(one, other) for one, other in pairs)
            Path(answer["outputs"]).unlink()
            children.append((program, child))
    for turn in range(runs + 2):  # two runs to warm up
        for program, child in children:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write("\n")
            child.stdin.flush()
            answer = json.loads(child.stdout.readline())
            if turn >= 2:
                program.ms.append(answer["ms"])
    for _, child in children:
        child.kill()
        child.communicate()


def report(name: str, size: tuple[int, int], found: Sequence[Program]) -> str:
    """Return the table of a network, and how its fastest artefact compares with its peers."""
    lines = [f"\n`{name}`, {size[0]}x{size[1]}\n", "| program | ms | PSNR, dB |", "|---|---|---|"]
    for program in found:
        if program.problem is not None:
            lines.append(f"| {program.title} | - | {program.problem} |")
        else:
            lines.append(f"| {program.title} | {min(program.ms):.1f} | {program.psnr:.1f} |")
    ran = [p for p in found if p.psnr is not None and p.ms]
    own = [p for p in ran if p.own]
    for program in sorted(own, key=lambda p: min(p.ms))[:1]:
        assert program.psnr is not None
        rivals = [
            p
            for p in ran
            if not p.own and p.psnr is not None and p.psnr >= min(program.psnr, ALIKE) - CLOSE
        ]
        for rival in sorted(rivals, key=lambda p: min(p.ms))[:1]:
            ratio = min(program.ms) / min(rival.ms)
            lines.append(f"\n{program.title} takes {ratio:.2f} of the time of {rival.title}.")
    return "\n".join(lines)


def main() -> None:
    """Print a table for every bundle."""
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
        return
    from edgeexpo.cli.arguments import size

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--size", type=size, help="H,W of the picture (default: as exported)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument(
        "--mnn-python", default=sys.executable, help="interpreter of an environment with MNN"
    )
    args = parser.parse_args()
    print(f"{processor_name()} ({' '.join(cpu_features())}), {args.threads} threads")
    for path in args.bundles:
        bundle = Bundle.open(path)
        spec = bundle.manifest.model
        picture = args.size or spec.fixed_size or bundle.manifest.recipe.size
        with tempfile.TemporaryDirectory() as folder:
            pictures = Path(folder) / "pictures.safetensors"
            write_inputs(spec, picture, pictures)
            found = programs(bundle, pictures)
            measure(bundle, found, pictures, args)
        print(report(spec.name, picture, found), flush=True)


if __name__ == "__main__":
    main()
