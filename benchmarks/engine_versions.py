"""Run the INT8 ONNX files of the networks that ship in several versions of ONNX Runtime.

    python benchmarks/engine_versions.py FOLDER [--networks NAMES] [--versions 1.20.1 1.31.1]
        [--side 128] [--emulated Haswell]

Every version is installed into a folder of its own below FOLDER and runs in a process of its own,
with the options of edgeexpo's runtime and without any. The table shows the worst PSNR of its output
against the quantised program in torch, over the embedded photographs. A version is right if the
PSNR respects the gate of the quantised program: the noise floor less the power of a second draw.

With ``--emulated`` the versions run on an emulated x86 processor, by Debian's ``qemu-user``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from photograph_inputs import read_inputs, write_inputs

VERSIONS = ("1.20.1", "1.22.1", "1.24.4", "1.26.0", "1.31.1", "1.32.0")
MODES = ("runtime", "bare")
"""How a file is run: with the options of edgeexpo's runtime, or with none."""

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Replayed:
    """A network to run.

    Attributes:
        name: Name of the network.
        file: Its INT8 file.
        inputs: File of the inputs, ``picture/input`` by name.
        whole: Outputs of the float program by picture.
        expected: Outputs of the quantised program by picture.
        floor: Worst PSNR in dB of the quantised against the float program.
    """

    name: str
    file: Path
    inputs: Path
    whole: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray]
    floor: float


def prepared(name: str, side: int, folder: Path) -> Replayed:
    """Write the INT8 file of a network and its inputs, and compute what torch shows."""
    import torch

    from edgeexpo.export.onnx_export import export_onnx
    from edgeexpo.imaging.samples import samples
    from edgeexpo.parity.metrics.pictures import psnr
    from edgeexpo.quantization import int8_weights
    from edgeexpo.quantization.ptq import quantize_program
    from edgeexpo.runtime.network_pictures import network_inputs
    from edgeexpo.workflows.networks import open_network

    network = open_network(name, (side, side))
    spec, exact = network.spec, network.capture()
    if network.int8 is None:
        pictures = samples(len(spec.frames), None, spec.frame_size((side, side)))
        program = quantize_program(exact, list(network_inputs(spec, pictures)))
    else:
        program = int8_weights.quantized_by(exact, int8_weights.read_int8_weights(network.int8))
    file = folder / f"{name}.onnx"
    export_onnx(program, file)
    inputs = folder / f"{name}.safetensors"
    write_inputs(spec, (side, side), inputs)
    modules = [p.exported.module(check_guards=False) for p in (exact, program)]
    whole, expected, floor = {}, {}, float("inf")
    for photograph, arrays in read_inputs(inputs).items():
        given = [torch.from_numpy(arrays[t.name]) for t in spec.inputs]
        with torch.inference_mode():
            outputs = [module(*given) for module in modules]
        pair = [(o[0] if isinstance(o, tuple) else o).numpy() for o in outputs]
        whole[photograph], expected[photograph] = pair
        floor = min(floor, psnr(*pair))
    return Replayed(name, file, inputs, whole, expected, floor)


def installed(version: str, folder: Path) -> Path:
    """Install a version of ONNX Runtime into a folder of its own, unless it is there."""
    place = folder / f"onnxruntime-{version}"
    if not place.is_dir():
        staging = folder / f".{place.name}"
        shutil.rmtree(staging, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        package = f"onnxruntime=={version}"
        subprocess.run([*command, "--target", str(staging), package], check=True)
        staging.rename(place)
    return place


def replay(file: Path, inputs: Path, outputs: Path, mode: str) -> None:
    """Run a file on its inputs in the ONNX Runtime of this process, and write the outputs."""
    import onnxruntime
    from safetensors.numpy import save_file

    from edgeexpo.runtime.engines.onnx import session_options

    options = session_options() if mode == "runtime" else onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(
        file.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    found = {name: session.run(None, given)[0] for name, given in read_inputs(inputs).items()}
    save_file(found, outputs)


def cell(network: Replayed, place: Path, mode: str, emulated: str | None, folder: Path) -> str:
    """Return the worst PSNR of a version on a network, or why there is none."""
    from safetensors.numpy import load_file

    from edgeexpo.parity.gates import TWO_DRAWS
    from edgeexpo.parity.metrics.pictures import psnr

    outputs = folder / "outputs.safetensors"
    outputs.unlink(missing_ok=True)
    own = [str(REPOSITORY), *(p for p in sys.path if p.endswith("site-packages"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), *own])}
    python = [os.path.realpath(sys.executable)]
    if emulated:
        python = ["qemu-x86_64", "-cpu", emulated, *python]
    arguments = ["--replay", str(network.file), str(network.inputs), str(outputs), mode]
    done = subprocess.run(
        [*python, __file__, *arguments], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return f"does not run: {told[:60]}"
    found = load_file(outputs)
    worst = min(psnr(network.expected[name], found[name]) for name in found)
    verdict = "" if worst >= network.floor - TWO_DRAWS else " **wrong**"
    return f"{worst:.1f}{verdict}"


def table(networks: Sequence[Replayed], versions: Sequence[str], args: argparse.Namespace) -> None:
    """Print a row for each network and mode, with a column for each version."""
    print(f"| network | mode | floor, dB | {' | '.join(versions)} |")
    print("|---" * (3 + len(versions)) + "|")
    for network in networks:
        for mode in MODES:
            cells = [
                cell(network, installed(v, args.folder), mode, args.emulated, args.folder)
                for v in versions
            ]
            head = f"| `{network.name}` | {mode} | {network.floor:.1f}"
            print(f"{head} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Prepare the networks and print the table."""
    if sys.argv[1:2] == ["--replay"]:
        file, inputs, outputs, mode = sys.argv[2:]
        replay(Path(file), Path(inputs), Path(outputs), mode)
        return
    from edgeexpo.models.zoo import shipped
    from edgeexpo.processor import cpu_features, processor_name

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where versions and files are kept")
    parser.add_argument("--networks", nargs="+", help="default: all that ship")
    parser.add_argument("--versions", nargs="+", default=VERSIONS)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--emulated", metavar="CPU", help="a processor of qemu-x86_64 -cpu help")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    networks = [prepared(name, args.side, args.folder) for name in args.networks or shipped()]
    place = args.emulated or f"{processor_name()} ({' '.join(cpu_features())})"
    print(f"ONNX Runtime on {place}, {args.side}x{args.side}, two threads\n")
    table(networks, args.versions, args)


if __name__ == "__main__":
    main()
