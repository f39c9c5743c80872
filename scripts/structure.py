"""Print the structure of the product by its imports: floors of packages, circles, files.

    python scripts/structure.py [--export]

A package is a folder; each module at the root counts as one. A package stands one floor above the
highest package that it imports. Imports for type checkers alone do not count.

``--export`` also exports a tiny network and lists the files that its data enters. Such a file has a
function that takes the network, its specification, the program, a picture, an artefact, the
manifest or the bundle.

The exit code is 1 when packages import each other in a circle or stand on more than ten floors.
"""

from __future__ import annotations

import argparse
import graphlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import grimp

ROOT = "edgeexpo"
"""Name of the product's package."""

MOST_FLOORS = 10
"""Largest accepted number of floors."""

Graph = Mapping[str, set[str]]
"""Imports of each package, by name."""


def package_graph() -> Graph:
    """Return the packages that each package imports."""
    modules = grimp.build_graph(ROOT, exclude_type_checking_imports=True)
    folders = {m.rpartition(".")[0] for m in modules.modules} - {"", ROOT}

    def package(module: str) -> str:
        if module in folders or module == ROOT:
            return module
        folder = module.rpartition(".")[0]
        return module if folder == ROOT else folder

    graph: dict[str, set[str]] = {}
    for module in modules.modules:
        importers = graph.setdefault(package(module), set())
        for imported in modules.find_modules_directly_imported_by(module):
            if package(imported) != package(module):
                importers.add(package(imported))
    return graph


def floors(graph: Graph) -> dict[str, int]:
    """Return the floor of each package, 1 at the bottom.

    Raises:
        graphlib.CycleError: Packages import each other in a circle.
    """
    found: dict[str, int] = {}
    for package in graphlib.TopologicalSorter(graph).static_order():
        found[package] = 1 + max((found[used] for used in graph[package]), default=0)
    return found


def files_of_an_export() -> set[str]:
    """Return the files of the product that the data of one export enters."""
    import torch

    from edgeexpo import export_bundle

    class Tiny(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            return torch.clamp(picture + 0.1 * self.layer(picture), 0, 1)

    entered: set[str] = set()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_globals.get("__name__", "")
        if event == "call" and name.startswith(f"{ROOT}.") and _carries_data(frame):
            entered.add(name)

    with tempfile.TemporaryDirectory() as folder:
        sys.setprofile(watch)
        try:
            export_bundle(
                Tiny().eval(),
                inputs={"picture": (1, 3, 64, 64)},
                targets=["all"],
                precision=["fp32", "int8"],
                output=Path(folder) / "tiny",
            )
        finally:
            sys.setprofile(None)
    return entered


def _carries_data(frame: FrameType) -> bool:
    import torch

    from edgeexpo.bundle.bundle import Bundle
    from edgeexpo.bundle.manifest import Artifact, Manifest
    from edgeexpo.imaging.samples import Sample
    from edgeexpo.program.capture import Program
    from edgeexpo.spec import ModelSpec
    from edgeexpo.workflows.networks import Network

    kinds = (torch.nn.Module, ModelSpec, Program, Sample, Artifact, Manifest, Bundle, Network)
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return any(isinstance(frame.f_locals.get(name), kinds) for name in names)


def _lines(found: Mapping[str, int]) -> Iterator[str]:
    for floor in range(max(found.values()), 0, -1):
        yield f"floor {floor:2}  {', '.join(sorted(p for p in found if found[p] == floor))}"
    yield f"{len(found)} packages on {max(found.values())} floors, no circle"


def main() -> int:
    """Print the floors, or the circle of imports that makes floors impossible."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--export", action="store_true", help="list the files of an export, too")
    args = parser.parse_args()
    try:
        found = floors(package_graph())
    except graphlib.CycleError as error:
        print(f"circle: {' -> '.join(error.args[1])}")
        return 1
    print("\n".join(_lines(found)))
    if args.export:
        entered = sorted(files_of_an_export())
        print("\n".join(entered))
        print(f"the data of an export enters {len(entered)} files")
    return int(max(found.values()) > MOST_FLOORS)


if __name__ == "__main__":
    raise SystemExit(main())
