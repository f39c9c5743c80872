"""Networks that were saved elsewhere as programs: ``net.pt2`` of ``torch.export.save``.

Such a program has its weights and no source. It becomes a module like any other, which refuses the
sizes for which the program was not made.
"""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen

from edgeexpo.errors import ModuleError, UsageError
from edgeexpo.failures import described
from edgeexpo.models.names import program_file
from edgeexpo.program.capture import placeholders
from edgeexpo.silence import quiet

LARGEST_SIDE = 512
"""Largest default height or width in pixels of a program that takes larger pictures too."""

_CHECK = "edgeexpo_size_check"
_SAVE_AGAIN = "save it again by torch.export.save"


@dataclass(frozen=True)
class Side:
    """The heights or widths that an input of a program takes, in pixels.

    Attributes:
        smallest: Smallest side.
        largest: Largest side. ``None`` without a bound.
        step: Number of which every side is a multiple.
        symbol: Name that sides of the same free size share. Empty for a fixed side.
    """

    smallest: int
    largest: int | None
    step: int = 1
    symbol: str = ""

    @property
    def default(self) -> int:
        """The side to export at if a user names none."""
        most = LARGEST_SIDE if self.largest is None else min(self.largest, LARGEST_SIDE)
        return max(most // self.step * self.step, self.smallest)

    def takes(self, side: int) -> bool:
        """Return true for a side that is not too small, and a multiple of the step."""
        fixed = self.symbol or side == self.smallest
        return bool(fixed) and side >= self.smallest and side % self.step == 0

    def __str__(self) -> str:
        if not self.symbol:
            return f"{self.smallest} only"
        most = "more" if self.largest is None else f"up to {self.largest}"
        steps = f", in multiples of {self.step}" if self.step > 1 else ""
        return f"{self.smallest} and {most}{steps}"


@dataclass(frozen=True)
class ProgramInput:
    """An input of a saved program.

    Attributes:
        name: Name in the program's forward.
        channels: Size of the channel axis.
        sides: Height and width.
    """

    name: str
    channels: int
    sides: tuple[Side, Side]


class SizeCheck(torch.nn.Module):
    """A layer without a result that refuses sizes for which a program was not made."""

    def __init__(self, inputs: Sequence[ProgramInput]) -> None:
        super().__init__()
        self._inputs = tuple(inputs)

    def forward(self, *given: torch.Tensor) -> None:
        """Check the inputs of the program.

        Raises:
            ModuleError: A height or width is not one of the program's.
        """
        sizes: dict[str, int] = {}
        for tensor, wanted in zip(given, self._inputs, strict=True):
            for side, found in zip(wanted.sides, tensor.shape[-2:], strict=True):
                if not side.takes(found):
                    raise ModuleError(f"the saved program takes sides of {side}; found {found}")
                if side.symbol and sizes.setdefault(side.symbol, found // side.step) != (
                    found // side.step
                ):
                    raise ModuleError("the saved program takes equal heights and widths only")


def open_program(path: Path) -> tuple[GraphModule, tuple[ProgramInput, ...]]:
    """Load a saved program as a module.

    Returns:
        A module in eval mode that takes NCHW tensors and returns what the program returns, and the
        inputs that it takes.

    Raises:
        ModuleError: The file is missing, is no program, or was written by a torch whose programs
            this one does not read. Or an input is no picture, or there are several outputs.
    """
    program = _loaded(path)
    inputs = tuple(_input(path, program, node) for node in placeholders(program))
    return _module(path, program, inputs), inputs


def default_shapes(inputs: Sequence[ProgramInput]) -> list[tuple[str | None, tuple[int, ...]]]:
    """Return the name and NCHW shape of each input at the largest size, up to 512 pixels."""
    return [(i.name, (1, i.channels, *(side.default for side in i.sides))) for i in inputs]


def check_shapes(
    path: Path,
    inputs: Sequence[ProgramInput],
    shapes: Sequence[tuple[str | None, tuple[int, ...]]],
) -> None:
    """Refuse heights and widths that a program does not take.

    Raises:
        UsageError: A height or width is not one of the program's.
    """
    for wanted in inputs:
        for _, shape in shapes:
            for side, found in zip(wanted.sides, shape[-2:], strict=True):
                if not side.takes(found) or found > (side.largest or found):
                    raise UsageError(
                        f"`inputs` asks for a side of {found}; {path} takes {side}: leave it out, "
                        f"or {_SAVE_AGAIN} with other dynamic sizes"
                    )


def _loaded(path: Path) -> ExportedProgram:
    program_file(str(path))
    if not zipfile.is_zipfile(path):
        raise ModuleError(
            f"{path} is not a program (it is no zip archive); expected one of torch.export.save"
        )
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(path)
    except Exception as error:  # torch raises anything for a file that it cannot read
        written = _writer(path)
        if not written:
            raise ModuleError(
                f"{path} is not a program ({described(error)}); expected one of torch.export.save"
            ) from error
        if written.partition(" ")[0] == torch.__version__:
            raise ModuleError(
                f"{path} is a damaged program ({described(error)}); {_SAVE_AGAIN}"
            ) from error
        raise ModuleError(
            f"{path} was saved by torch {written}, and torch {torch.__version__} cannot read it "
            f"({described(error)}); {_SAVE_AGAIN} of torch {torch.__version__.partition('+')[0]}"
        ) from error


def _writer(path: Path) -> str:
    """Return the version of torch that saved a program, or an empty text if the file is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.endswith("models/model.json"))
            document = json.loads(archive.read(name))
        schema = dict(document["schema_version"])
    except Exception:  # noqa: BLE001 - a damaged archive may raise anything
        return ""
    version = document.get("torch_version") or "of another version"
    return f"{version} (schema {schema.get('major', '?')}.{schema.get('minor', '?')})"


def _input(path: Path, program: ExportedProgram, node: Node) -> ProgramInput:
    value = node.meta.get("val")
    name = str(node.target)
    if not isinstance(value, torch.Tensor) or value.dim() != 4:
        found = _words(value)
        raise ModuleError(
            f"input {name!r} of {path} is {found}; expected pictures, NCHW: save a program of a "
            "module that keeps everything else as constants"
        )
    batch, channels = value.shape[:2]
    if value.dtype != torch.float32:
        raise ModuleError(
            f"input {name!r} of {path} is {_words(value)}; expected float32: save the program of "
            "the network in float32"
        )
    if isinstance(batch, int) and batch != 1:
        raise ModuleError(
            f"input {name!r} of {path} has a batch of {batch}; expected 1: {_SAVE_AGAIN} with an "
            "example of one picture"
        )
    if not isinstance(channels, int):
        raise ModuleError(
            f"input {name!r} of {path} has any number of channels; expected 1, 3 or 4: "
            f"{_SAVE_AGAIN} with a fixed number"
        )
    height, width = (_side(path, program, name, side) for side in value.shape[2:])
    return ProgramInput(name, channels, (height, width))


def _words(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    shape = "x".join(str(side) for side in value.shape) or "one number"
    return f"{shape} {str(value.dtype).removeprefix('torch.')}"


def _side(path: Path, program: ExportedProgram, name: str, side: Any) -> Side:
    if isinstance(side, int):
        return Side(side, side)
    expression = side.node.expr
    symbols = sorted(expression.free_symbols, key=str)
    step: Any = expression.coeff(symbols[0]) if len(symbols) == 1 else 0
    if step == 0 or not step.is_Integer or expression != step * symbols[0]:
        raise ModuleError(
            f"input {name!r} of {path} has sides of {expression}; expected multiples of a number: "
            f"{_SAVE_AGAIN} with dynamic sizes in steps, such as 8 * Dim('height')"
        )
    bounds = program.range_constraints.get(symbols[0])
    low = 1 if bounds is None else max(int(bounds.lower), 1)
    high: Any = None if bounds is None else bounds.upper
    largest = int(high) if getattr(high, "is_Integer", False) else None  # not infinity
    return Side(
        int(step) * low,
        None if largest is None else int(step) * largest,
        int(step),
        str(symbols[0]),
    )


def _module(path: Path, program: ExportedProgram, inputs: Sequence[ProgramInput]) -> GraphModule:
    """Return a program's operators as a module of flat inputs, with our check of the sizes."""
    exported: Any = program.module(check_guards=False)
    graph = exported.graph
    (output,) = [node for node in graph.nodes if node.op == "output"]
    results = output.args[0] if isinstance(output.args[0], (tuple, list)) else (output.args[0],)
    if len(results) != 1:
        raise ModuleError(
            f"{path} gives {len(results)} results; expected one picture: save a program of a "
            "module that returns the picture alone"
        )
    output.args = (results[0],)
    for node in list(graph.nodes):  # they insist on the types and sizes of the saved example
        if node.target is torch.ops.aten._assert_tensor_metadata.default:
            graph.erase_node(node)
    wanted = {node.name for node in placeholders(program)}
    given = [node for node in graph.nodes if node.op == "placeholder"]
    for node in [n for n in given if n.name not in wanted and not n.users]:
        graph.erase_node(node)  # a number that is part of the program already
        given.remove(node)
    # A hook would be lost when the module is copied (torch 2.13).
    exported.add_submodule(_CHECK, SizeCheck(inputs))
    with graph.inserting_after(given[-1]):
        graph.call_module(_CHECK, tuple(given))
    graph.set_codegen(CodeGen())
    return GraphModule(exported, graph).eval()
