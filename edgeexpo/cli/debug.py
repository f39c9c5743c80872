"""``edgeexpo debug``: the first layer where an artefact leaves the reference."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from edgeexpo.cli.arguments import add_on, add_selection
from edgeexpo.cli.output import add_json_argument, emit, table
from edgeexpo.errors import GateError, MissingDependencyError

if TYPE_CHECKING:
    from edgeexpo.parity.localisation.judge import JudgedLayer
    from edgeexpo.parity.localisation.localisation import Localisation

BEFORE, AFTER = 4, 3
"""Numbers of layers that are shown before and after the first faulty layer."""

COLUMNS = ("", "node", "operator", "module", "source", "error", "allowed", "range", "program's")
"""Columns of the printed table.

``range`` is the range of the artefact's values, and ``program's`` is that of the program's values.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", help="a folder made by edgeexpo export")
    add_selection(parser)
    add_on(parser, several=False)
    pictures = parser.add_mutually_exclusive_group()
    pictures.add_argument("--image", metavar="FILE", help="one photograph to trace")
    pictures.add_argument(
        "--images", metavar="DIR", help="photographs or brackets; else two embedded photographs"
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="write error maps as PNG here")
    add_json_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Trace the artefact and print the layers around its first fault.

    Raises:
        GateError: A layer leaves the reference.
        MissingDependencyError: A library that tracing needs is not installed.
    """
    try:
        from edgeexpo.workflows.debug import debug
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"debug needs {error.name}, which is not installed; pip install 'edgeexpo[export]'"
        ) from error
    found = debug(
        args.bundle,
        target=args.target,
        precision=args.precision,
        image=args.image,
        images=args.images,
        output=args.output,
        on=args.on,
    )
    emit(args, document(found), "\n".join([localisation_text(found), *found.files]))
    if found.first is not None:
        raise GateError(f"{found.file} leaves the program at {found.first.node}")
    return 0


def document(found: Localisation) -> dict[str, Any]:
    """Return the document of ``--json``: the artefact, its first fault and every layer in order.

    ``first`` is ``None`` when no layer is faulty.
    """
    first = found.first
    return {
        "passed": bool(found),
        "file": found.file,
        "target": found.target,
        "precision": found.precision,
        "engine": found.engine,
        "caveat": found.caveat,
        "picture": found.picture,
        "size": list(found.size),
        "coverage": found.coverage,
        "first": None if first is None else _row(first),
        "layers": [_row(layer) for layer in found.layers],
        "files": list(found.files),
    }


def localisation_text(found: Localisation) -> str:
    """Return the text for a person: the layers around the first fault, then one sentence."""
    layers, first = found.layers, found.first
    heading = (
        f"{found.file} in {found.engine}, on {found.picture} at "
        f"{found.size[0]}x{found.size[1]}; {len(layers)} values aligned with the program, "
        f"{found.coverage:.0%} of the artefact's"
    )
    if first is None:
        nearest = max(layers, key=_ratio, default=None)
        near = (
            f"; nearest is {nearest.node} with {_ratio(nearest):.0%} of what it is allowed"
            if nearest is not None
            else ""
        )
        said = [heading, f"no layer leaves its share{near}", *_farthest(found)]
        return "\n".join([*said, f"({found.caveat})"])
    index = layers.index(first)
    shown = layers[max(0, index - BEFORE) : index + AFTER + 1]
    rows = [_cells(layer, layer is first) for layer in shown]
    where = f" ({first.source})" if first.source else ""
    module = f" of {first.module}" if first.module else ""
    others = sum(layer.fault is not None for layer in layers) - 1
    more = f"; {others} later value(s) leave theirs too" if others else ""
    return "\n".join(
        [
            heading,
            table(rows, COLUMNS),
            f"{first.node}{module}{where}: {first.fault}{more}",
            f"({found.caveat})",
        ]
    )


def _farthest(found: Localisation) -> list[str]:
    """Name, for INT8, the layer that quantisation moves farthest from the float program.

    This distance is a cost of quantisation and no fault of the artefact.
    """
    known = [layer for layer in found.layers if layer.drift is not None]
    if found.precision != "int8" or not known:
        return []
    layer = max(known, key=lambda known_layer: known_layer.drift or 0.0)
    where = f" ({layer.source})" if layer.source else ""
    return [
        f"quantising itself takes {layer.node}{where} farthest from the float program: "
        f"{layer.drift:.1%} of its spread"
    ]


def _cells(layer: JudgedLayer, is_first: bool) -> list[Any]:
    mark = ">" if is_first else "!" if layer.fault else ""
    low, high = layer.found
    wanted = layer.expected
    return [
        mark,
        layer.node,
        layer.operator,
        layer.module or None,
        layer.source or None,
        layer.error,
        layer.share,
        f"{low:.3g}..{high:.3g}",
        f"{wanted[0]:.3g}..{wanted[1]:.3g}",
    ]


def _row(layer: JudgedLayer) -> dict[str, Any]:
    finite = layer.error == layer.error and abs(layer.error) != float("inf")
    return {
        "node": layer.node,
        "operator": layer.operator,
        "module": layer.module,
        "source": layer.source,
        "value": layer.value,
        "error": layer.error if finite else None,
        "share": layer.share,
        "drift": layer.drift,
        "range": list(layer.found),
        "expected_range": list(layer.expected),
        "fault": layer.fault,
    }


def _ratio(layer: JudgedLayer) -> float:
    return layer.error / layer.share if layer.share else 0.0
