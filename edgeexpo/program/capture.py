"""Capture of a module as one ``torch.export`` program, from which every target is lowered."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import Dim, ExportedProgram
from torch.fx import Node

from edgeexpo.errors import ModuleError
from edgeexpo.failures import described, message_of
from edgeexpo.program.adaptive_pooling import plain_adaptive_pooling
from edgeexpo.program.antialiasing import plain_antialiasing
from edgeexpo.program.batch_norms import fold_batch_norms
from edgeexpo.program.circular_padding import plain_circular_padding
from edgeexpo.program.constants import drop_unread, fold_constants
from edgeexpo.program.contractions import matrix_contractions
from edgeexpo.program.filled import plain_fills
from edgeexpo.program.grid_samples import flat_grid_samples
from edgeexpo.program.identities import remove_identities
from edgeexpo.program.masked_assignments import chosen_by_mask
from edgeexpo.program.masks import logical_sums
from edgeexpo.program.mutations import without_mutations
from edgeexpo.program.norm_statistics import plain_statistics
from edgeexpo.program.patches import plain_patches
from edgeexpo.program.scalars import real_bounds
from edgeexpo.program.scaled_sums import plain_sums
from edgeexpo.program.source import find_source
from edgeexpo.program.stages import by_values
from edgeexpo.program.volumes import flat_volumes
from edgeexpo.progress import note
from edgeexpo.replaced import replaced
from edgeexpo.spec import SizeRange, TensorSpec

SMALLEST_CAPTURE_SIDE = 16
"""Smallest height or width of a dynamic program, in pixels, before rounding up to the multiple."""

_REWRITES = (
    remove_identities,
    plain_sums,
    logical_sums,
    chosen_by_mask,
    plain_antialiasing,
    plain_adaptive_pooling,
    plain_fills,
    fold_constants,
    plain_statistics,
    fold_batch_norms,
    flat_volumes,
    flat_grid_samples,
    plain_circular_padding,
    real_bounds,
    matrix_contractions,
    plain_patches,
)
"""Rewrites applied to every captured program.

Each one takes a graph module, changes it in place, and returns true if there was a change.
"""

CAPTURE_ERRORS: tuple[type[BaseException], ...] = (Exception, SystemExit)
"""Errors of a user's ``forward`` and of the tracer. Both may raise anything."""


@dataclass(frozen=True)
class Program:
    """An exported program with the names and sizes that its artefacts keep.

    Attributes:
        exported: The program. It takes NCHW float32 tensors in the order of ``tensors`` and returns
            one NCHW tensor. A program that holds its stages takes and returns HxWx3 uint8.
        tensors: Specs of the inputs, in order. An input whose spec has a ``size`` keeps that size.
        outputs: Names of the outputs, exactly one.
        sizes: Bounds of the height and width of all other inputs. The bounds are equal when the
            network fixes its size.
        precision: ``fp32``, ``fp16`` or ``int8``.
    """

    exported: ExportedProgram
    tensors: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    sizes: SizeRange
    precision: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(spec.name for spec in self.tensors)

    @property
    def takes_frames(self) -> bool:
        """True if the program holds its stages: its inputs are frames, and its output a picture."""
        return self.tensors[0].is_frame

    @property
    def dynamic(self) -> bool:
        """True when height and width may vary between the bounds."""
        return self.sizes.smallest != self.sizes.largest


Proof = Callable[[Program, torch.nn.Module], None]
"""Check that a program gives what a module gives. It raises a ``ModuleError`` if not."""


def capture(
    module: torch.nn.Module,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    size: tuple[int, int],
    multiple: int = 1,
    precision: str = "fp32",
    grid: int = 0,
    prove: Proof | None = None,
) -> Program:
    """Capture ``module`` with height and width bounded by ``size``.

    Some networks fix their own size, for example by a constant shape in ``forward``, or by a Python
    number that they compute from a shape. Such a network is captured at exactly ``size``. If every
    input spec has a size, the network is captured at the first spec's size. In both cases the
    bounds in the result's ``sizes`` are equal.

    Args:
        module: The network. It takes one NCHW float32 tensor per input spec and returns one NCHW
            tensor. It is set to eval mode.
        inputs: Specs of the inputs: names, channels, and sizes that do not vary.
        outputs: Specs of the outputs, exactly one.
        size: Largest (height, width) in pixels.
        multiple: Number of which every height and width is a multiple.
        precision: Precision to record in the result.
        grid: Multiple that is tried if sizes in steps of ``multiple`` cannot be traced.
        prove: Check of a program against ``module``. A program of varying size that does not pass
            it gives way to one of fewer sizes.

    Raises:
        ModuleError: The size is too small or not a multiple of ``multiple``. Or ``forward`` fails,
            does not return one NCHW tensor, cannot be traced, or depends on its input's values. The
            message names the user's line where it is known. Or ``prove`` raises it.
    """
    size = next((s.size for s in inputs if s.size and all(t.size for t in inputs)), size)
    check_capture_size(size, multiple)
    module = module.eval()
    check_forward(module, _examples(inputs, size))
    labels = tuple(s.name for s in outputs)
    fixed = SizeRange(largest=size, smallest=size, multiple=multiple)
    sizes = fixed if all(s.size for s in inputs) else size_range(size, multiple)
    reason = ""
    on_grid = [size_range(size, grid)] if _fits(size, grid) and sizes != fixed else []
    for candidate in dict.fromkeys((sizes, *on_grid, fixed)):
        try:
            program = _captured(module, inputs, labels, candidate, precision)
            if prove is not None:
                prove(program, module)
        except ModuleError as error:
            if candidate == fixed or not _depends_on_size(error):
                raise
            reason = f"edgeexpo: the network fixes its size at {size[0]}x{size[1]}: {error}"
            continue
        if reason and candidate == fixed:
            note(reason)
        return program
    raise AssertionError("the fixed size either returns or raises")


def _captured(
    module: torch.nn.Module,
    inputs: Sequence[TensorSpec],
    outputs: tuple[str, ...],
    sizes: SizeRange,
    precision: str,
) -> Program:
    """Capture ``module`` for some sizes, rewritten by :data:`_REWRITES`."""
    example = _examples(inputs, _trace_size(sizes))
    check_forward(module, example)
    exported = _export(module, example, _dynamic_shapes(sizes, inputs))
    program = Program(exported, tuple(inputs), outputs, sizes, precision)
    graph_module, rewritten = without_mutations(exported)
    changed = [rewritten, *(step(graph_module) for step in _REWRITES)]
    drop_unread(graph_module, {name for name, _ in graph_module.named_parameters()})
    return recapture(program, graph_module, precision) if any(changed) else program


def _fits(size: tuple[int, int], multiple: int) -> bool:
    return multiple > 1 and not any(side % multiple for side in size)


def recapture(program: Program, module: torch.nn.Module, precision: str) -> Program:
    """Capture a rewritten graph module, with the names and sizes of ``program``.

    Raises:
        ModuleError: The graph module cannot be traced.
    """
    shapes = _dynamic_shapes(program.sizes, program.tensors)
    exported = _export(module, _examples(program.tensors, _trace_size(program.sizes)), shapes)
    return dataclasses.replace(program, exported=exported, precision=precision)


def at_one_size(program: Program) -> Program:
    """Return ``program`` with its bounds set to its largest size, for :func:`recapture`."""
    only = program.sizes.largest
    sizes = SizeRange(largest=only, smallest=only, multiple=program.sizes.multiple)
    return dataclasses.replace(program, sizes=sizes)


def size_range(size: tuple[int, int], multiple: int) -> SizeRange:
    """Return the bounds for a dynamic program of at most ``size`` (height, width) in pixels."""
    low = max(multiple, -(-SMALLEST_CAPTURE_SIDE // multiple) * multiple)
    return SizeRange(
        largest=size, smallest=(min(low, size[0]), min(low, size[1])), multiple=multiple
    )


def check_capture_size(size: tuple[int, int], multiple: int) -> None:
    """Check that a (height, width) in pixels can be captured.

    Raises:
        ModuleError: A side is smaller than ``multiple`` or :data:`SMALLEST_CAPTURE_SIDE`, or is not
            a multiple of ``multiple``.
    """
    if any(s < max(multiple, SMALLEST_CAPTURE_SIDE) or s % multiple for s in size):
        raise ModuleError(
            f"size is {size[0]}x{size[1]}; expected a height and width of at least "
            f"{max(multiple, SMALLEST_CAPTURE_SIDE)} in multiples of {multiple}"
        )


def example_inputs(program: Program, size: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    """Return zero tensors (1xCxHxW) that ``program`` accepts.

    An input has the (height, width) of its spec, or ``size`` if its spec gives no size. Frames are
    HxWxC uint8.
    """
    return tuple(
        torch.zeros(t.shape(size), dtype=torch.uint8 if t.is_frame else torch.float32)
        for t in program.tensors
    )


def placeholders(exported: ExportedProgram) -> Iterator[Node]:
    """Yield the graph's user inputs, without parameters, buffers and constants."""
    wanted = set(exported.graph_signature.user_inputs)
    return (n for n in exported.graph.nodes if n.op == "placeholder" and n.name in wanted)


def _dynamic_shapes(
    sizes: SizeRange, inputs: Sequence[TensorSpec]
) -> tuple[dict[int, Any], ...] | None:
    """Return the free axes as ``torch.export`` takes them, or ``None`` when the size is fixed."""
    if sizes.smallest == sizes.largest:
        return None
    axes = {}
    for axis, name in ((2, "height"), (3, "width")):
        low, high = sizes.smallest[axis - 2], sizes.largest[axis - 2]
        if low < high:
            step = sizes.multiple
            free = Dim(name, min=low // step, max=high // step)
            axes[axis] = free if step == 1 else step * free
    return tuple({} if spec.size else axes for spec in inputs)


def _depends_on_size(error: ModuleError) -> bool:
    """Return true if capture may succeed at a fixed size.

    A network that depends on its input's values fails at every size.
    """
    return "depends on the values" not in str(error)


def _trace_size(sizes: SizeRange) -> tuple[int, int]:
    """Return the small (height, width) at which a program of these sizes is traced.

    The sides differ and are neither 0 nor 1. No side equals a bound unless the bounds are close.
    """
    low, high, step = sizes.smallest, sizes.largest, sizes.multiple
    return (min(high[0], low[0] + 2 * step), min(high[1], low[1] + 4 * step))


def _examples(inputs: Sequence[TensorSpec], size: tuple[int, int]) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randint(0, 256, spec.shape(size), generator=generator, dtype=torch.uint8)
        if spec.is_frame
        else torch.rand(spec.shape(size), generator=generator)
        for spec in inputs
    )


def run_forward(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> Any:
    """Run ``module`` once on ``example`` (NCHW tensors) and return what it gives.

    Raises:
        ModuleError: ``forward`` fails.
    """
    try:
        with torch.no_grad():
            return module(*example)
    except ModuleError:
        raise
    except CAPTURE_ERRORS as error:
        raise ModuleError(
            f"forward failed on inputs {_shapes(example)}: {described(error)}"
            f"{find_source(error)}; expected {_expectation(error)}"
        ) from error


def check_forward(module: torch.nn.Module, example: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Run ``module`` once on ``example`` (NCHW tensors) and return its NCHW output.

    Raises:
        ModuleError: ``forward`` fails or does not return one NCHW tensor.
    """
    return check_output(run_forward(module, example))


def check_output(output: Any) -> torch.Tensor:
    """Return what ``forward`` gave if it is one NCHW tensor of real numbers.

    Raises:
        ModuleError: It is anything else.
    """
    if not isinstance(output, torch.Tensor):
        raise ModuleError(
            f"forward returned a {type(output).__name__}; expected one NCHW tensor: "
            "wrap the module so that it returns the picture alone"
        )
    if output.dim() != 4 or output.shape[0] != 1:
        raise ModuleError(
            f"forward returned shape {tuple(output.shape)}; expected NCHW: wrap the module so that "
            "it returns a batch of one picture"
        )
    if output.is_complex() or output.layout is not torch.strided:
        kind = "complex" if output.is_complex() else "sparse"
        raise ModuleError(
            f"forward returned a {kind} tensor; expected a dense tensor of real numbers: return "
            f"its {'real part' if output.is_complex() else 'dense form'}"
        )
    return output


def _expectation(error: BaseException) -> str:
    """Return what a ``forward`` that failed should do instead."""
    text = message_of(error).lower()
    if "cuda" in text or "device" in text:
        return "a forward that keeps its tensors on the device of its input"
    return "a forward that takes NCHW float32 pictures in [0,1]"


def _export(
    module: torch.nn.Module,
    example: tuple[torch.Tensor, ...],
    dynamic_shapes: tuple[dict[int, Any], ...] | None,
) -> ExportedProgram:
    try:
        # torch 2.13 prints the graph of a branch that depends on values on stderr.
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stderr(io.StringIO()),
            _every_operator_computed(),
        ):
            warnings.simplefilter("ignore")
            return torch.export.export(module, example, dynamic_shapes=dynamic_shapes)
    except CAPTURE_ERRORS as error:
        if by_values(error):
            raise ModuleError(
                f"forward depends on the values of its input{find_source(error)}; expected the "
                "same operations for every picture: replace the branch by torch.where"
            ) from error
        raise ModuleError(
            f"the module cannot be traced ({described(error)}){find_source(error)}; expected "
            "a forward of torch operations on tensors that torch.export can follow"
        ) from error


def _every_operator_computed() -> contextlib.AbstractContextManager[None]:
    """Compute the shape that each operator gives, without torch's cache of operators.

    In one trace of varying size torch 2.13 seldom finds an operator there. It needs longer to put
    one there than to compute it.
    """
    return replaced(FakeTensorMode, "_cached_dispatch_impl", FakeTensorMode._dispatch_impl)


def _shapes(tensors: Sequence[torch.Tensor]) -> str:
    return ", ".join("x".join(map(str, t.shape)) for t in tensors)
