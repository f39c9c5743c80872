"""Plant faults in single layers of a bundle's artefacts and ask ``debug`` for the layer.

edgeexpo export lrl-mobile --target all --precision fp32,int8 --size 128,128 -o dist/lrl-mobile
python benchmarks/localisation.py dist/lrl-mobile
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from torch.fx import GraphModule, Node

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.cli.output import table
from edgeexpo.errors import UsageError
from edgeexpo.imaging.samples import Sample, samples
from edgeexpo.parity.localisation.localisation import localise, traced_size
from edgeexpo.parity.localisation.trace_program import computed, is_traced_weighted, node_kind
from edgeexpo.parity.reference import load_program
from edgeexpo.testing.faults.plant import (
    FLOAT_ONLY,
    INTEGER_ONLY,
    WEIGHT_FAULTS,
    open_layers,
    plant,
)


def main() -> None:
    """Print a row per planted fault, and the share of faults that was found, per target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--target", choices=("onnx", "coreml", "executorch"))
    parser.add_argument("--faults", type=int, default=30, help="faults per target")
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    for target in ("onnx", "coreml", "executorch"):
        chosen = [a for a in bundle.manifest.artifacts if a.target == target]
        if not chosen or args.target not in (None, target):
            continue
        planted = _planted(bundle, _faults(bundle, chosen))
        rows = list(itertools.islice(planted, args.faults))
        print(f"\n{target}")
        print(table(rows, ("precision", "fault", "layer", "found", "right", "words")))
        right = sum(row["right"] == "yes" for row in rows)
        print(f"{target}: {right} of {len(rows)} planted layers found", flush=True)


def _planted(
    bundle: Bundle, faults: Iterable[tuple[Artifact, str, int]]
) -> Iterator[dict[str, object]]:
    """Yield a row for each fault that can be planted in its artefact."""
    for artifact, fault, layer in faults:
        try:
            row = _row(bundle, artifact, fault, layer)
        except UsageError:
            continue
        print(*row.values(), sep="; ", file=sys.stderr, flush=True)
        yield row


def _faults(bundle: Bundle, artifacts: list[Artifact]) -> Iterator[tuple[Artifact, str, int]]:
    """Yield every fault in every precision, on each layer in turn."""
    layers = {a.file: open_layers(a.target, bundle.file(a.file)).count for a in artifacts}
    turn = 0
    while True:
        for fault, artifact in itertools.product(WEIGHT_FAULTS, artifacts):
            integer = artifact.precision == "int8"
            if fault in (FLOAT_ONLY if integer else INTEGER_ONLY):
                continue
            last = fault == "activation dropped"
            yield artifact, fault, turn % (layers[artifact.file] - last)
            turn += 1


def _row(bundle: Bundle, artifact: Artifact, fault: str, layer: int) -> dict[str, object]:
    program = "quantized.pt2" if artifact.precision == "int8" else "reference.pt2"
    module = _module(bundle.path, program)
    convolutions = [n for n in module.graph.nodes if node_kind(n) == "conv"]
    node = convolutions[layer]
    with tempfile.TemporaryDirectory() as folder:
        damaged = plant(bundle, artifact, fault, layer, Path(folder))
        found = localise(
            damaged,
            target=artifact.target,
            precision=artifact.precision,
            samples=_pictures(len(bundle.manifest.model.frames), traced_size(artifact.sizes)),
        )
    first = found.first
    return {
        "precision": artifact.precision,
        "fault": fault,
        "layer": node.name,
        "found": None if first is None else first.node,
        "right": "yes" if first is not None and first.node in _belongs(module, node) else "no",
        "words": None if first is None else first.fault,
    }


def _belongs(module: GraphModule, node: Node) -> set[str]:
    """Return ``node`` and the nodes that only follow it, up to the next convolution.

    A person sees them as one layer.
    """
    names = {node.name}
    inside = computed(module)
    while len(node.users) == 1:
        node = next(iter(node.users))
        if node not in inside or is_traced_weighted(node):
            break
        names.add(node.name)
    return names


@functools.cache
def _pictures(frames: int, size: tuple[int, int]) -> list[Sample]:
    return samples(frames, None, size)[:1]


@functools.cache
def _module(path: Path, file: str) -> GraphModule:
    module: GraphModule = load_program(Bundle.open(path), file).module()
    return module


if __name__ == "__main__":
    main()
