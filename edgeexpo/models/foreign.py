"""Networks of the user: ``path/to/net.py:factory``, ``net.pt2``, or a module in memory."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from edgeexpo.errors import ModuleError, UsageError
from edgeexpo.failures import described
from edgeexpo.imaging.samples import Sample, samples
from edgeexpo.models.chosen_output import choose_output
from edgeexpo.models.footprint import measure_footprint
from edgeexpo.models.full_size import full_size_stage
from edgeexpo.models.names import factory_file
from edgeexpo.models.output_range import output_range
from edgeexpo.program.capture import CAPTURE_ERRORS, check_output
from edgeexpo.program.source import find_source
from edgeexpo.runtime.network_pictures import network_inputs, planar
from edgeexpo.spec import ModelSpec, StageSpec, TensorSpec

Inputs = str | Sequence[str] | Mapping[str, Sequence[int]]
"""Shapes of a module's inputs: by name, or as texts of the form ``NAME=1x3xHxW``."""

CHANNELS = (1, 3, 4)
"""Numbers of channels that an input may have: luma, RGB, and a packed mosaic."""

Shape = tuple[int, int, int, int]
"""Batch, channels, height and width."""

_NO_PICTURE = {
    inspect.Parameter.VAR_POSITIONAL: "*{}",
    inspect.Parameter.VAR_KEYWORD: "**{}",
    inspect.Parameter.KEYWORD_ONLY: "{} by keyword alone",
}
_WRAPPERS = (
    torch.nn.DataParallel,
    torch.nn.parallel.DistributedDataParallel,
    torch._dynamo.OptimizedModule,
)
_SHAPE = re.compile(r"^(?:(?P<name>[A-Za-z_]\w*)=)?(?P<shape>[0-9]{1,9}(?:x[0-9]{1,9}){3})\Z")


@dataclass(frozen=True)
class Shown:
    """How the output of a user's network becomes the picture.

    Attributes:
        values: Values that are black and white. ``None`` if they are to be measured
            (:func:`edgeexpo.models.output_range.output_range`).
        at_full_size: Form in which the network's result is applied at full size, one of
            :data:`edgeexpo.models.full_size.FULL_SIZE_FORMS`, if it sees a copy of at most the
            exported size. ``None`` if it sees the picture.
        output: Name of the output that is the picture, of several
            (:func:`edgeexpo.models.chosen_output.choose_output`).
    """

    values: tuple[float, float] | None = None
    at_full_size: str | None = None
    output: str | None = None


def input_shapes(inputs: Inputs) -> list[tuple[str | None, Shape]]:
    """Read the inputs that a user gives as (name, NCHW shape) each; texts may lack the name.

    Raises:
        UsageError: A shape is not a batch of one picture.
    """
    if isinstance(inputs, str):
        return [parse_input(inputs)]
    if not isinstance(inputs, Mapping):
        return [parse_input(text) for text in inputs]
    return [parse_input(f"{name}={'x'.join(map(str, shape))}") for name, shape in inputs.items()]


def input_texts(inputs: Inputs) -> tuple[str, ...]:
    """Write the inputs that a user gives as texts of the form ``NAME=1x3xHxW``.

    Raises:
        UsageError: A shape is not a batch of one picture.
    """
    named = [(f"{name}=" if name else "", shape) for name, shape in input_shapes(inputs)]
    return tuple(f"{name}{'x'.join(map(str, shape))}" for name, shape in named)


def parse_input(text: str) -> tuple[str | None, Shape]:
    """Parse ``NAME=1x3x512x512`` or ``1x3x512x512``.

    Returns:
        The name, or ``None`` when it is missing, and the NCHW shape.

    Raises:
        UsageError: The text has another form, the batch is not 1, or a size is not positive.
    """
    match = _SHAPE.match(text)
    if not match:
        raise UsageError(f"input is {text!r}; expected NAME=1x3x512x512 or 1x3x512x512")
    n, c, h, w = (int(part) for part in match["shape"].split("x"))
    if n != 1 or min(c, h, w) < 1:
        raise UsageError(
            f"input is {text!r}; expected a batch of 1 and positive sizes: pictures of a batch are "
            "run one after the other"
        )
    return match["name"], (n, c, h, w)


def load_factory(model: str) -> torch.nn.Module:
    """Import ``file.py`` and call ``factory()``.

    Returns:
        The module in eval mode.

    Raises:
        ModuleError: The file or the factory is missing or fails, or the result is not a module.
    """
    path, factory_name = factory_file(model)
    spec = importlib.util.spec_from_file_location(f"edgeexpo_foreign_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ModuleError(f"{path} cannot be imported as Python")
    source = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = source
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(source)
        factory = getattr(source, factory_name, None)
        if not callable(factory):
            names = [n for n, v in vars(source).items() if callable(v) and not n.startswith("_")]
            raise ModuleError(f"{path} has no factory {factory_name!r}; it has: {', '.join(names)}")
        module = factory()
    except ModuleError:
        raise
    except CAPTURE_ERRORS as error:  # a user's file may raise anything
        raise ModuleError(
            f"{model} failed: {described(error)}{find_source(error)}; expected a factory without "
            "arguments"
        ) from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    if not isinstance(module, torch.nn.Module):
        raise ModuleError(f"{model} returned a {type(module).__name__}; expected a torch nn.Module")
    return module.eval()


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """Return the module inside the wrappers of ``torch.compile`` and of data parallelism."""
    while isinstance(module, _WRAPPERS):
        inner = getattr(module, "_orig_mod", None)
        module = inner if isinstance(inner, torch.nn.Module) else module.module
    return module


def check_values(module: torch.nn.Module) -> None:
    """Check that every weight has values.

    Raises:
        ModuleError: A weight has no values, since it was made on torch's meta device.
    """
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if value.is_meta:
            raise ModuleError(
                f"weight {name!r} has no values (meta device); expected a module with weights on "
                "the CPU"
            )


def in_float32(module: torch.nn.Module) -> torch.nn.Module:
    """Change weights of another float type to float32, in which every network is captured."""
    types = {p.dtype for p in module.parameters() if p.is_floating_point()}
    return module if types <= {torch.float32} else module.float()


def laid_out_plainly(module: torch.nn.Module) -> torch.nn.Module:
    """Lay every weight out in the order of its axes, as converters expect it.

    Weights in ``channels_last`` order make XNNPACK's converter stop.
    """
    for value in (*module.parameters(), *module.buffers()):
        if value.layout is torch.strided and not value.is_contiguous():
            value.data = value.data.contiguous()
    return module


def own_copy(module: torch.nn.Module) -> torch.nn.Module:
    """Copy a user's module, on the CPU and in eval mode; the user's own stays unchanged.

    Tensors that were computed from weights, such as those that the hooks of weight normalisation
    keep, are copied as values.

    Raises:
        ModuleError: The module cannot be copied.
    """
    values = {id(tensor): tensor.detach().clone() for tensor in _computed(module)}
    try:
        return copy.deepcopy(module, values).cpu().eval()
    except Exception as error:  # a user's module may raise anything
        raise ModuleError(
            f"{type(module).__name__} cannot be copied ({described(error)}); expected a module "
            "that copy.deepcopy takes: leave out locks, files and other handles"
        ) from error


def _computed(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Yield the tensors that a module keeps although they are results of a computation."""
    for part in module.modules():
        for value in tree_leaves(vars(part)):
            if isinstance(value, torch.Tensor) and value.grad_fn is not None:
                yield value


def describe_module(
    module: torch.nn.Module,
    name: str,
    shapes: Sequence[tuple[str | None, tuple[int, ...]]],
    shown: Shown = Shown(),
) -> tuple[ModelSpec, tuple[int, int]]:
    """Return the spec of a foreign module, with its measured footprint and range.

    A module that gives integers is made to give float32 from then on, and a module that gives
    several outputs is made to give one of them.

    Args:
        module: Network in eval mode that takes NCHW tensors and returns an NCHW tensor.
        name: Name of the network's files.
        shapes: Name and NCHW shape of each input. ``None`` stands for the name in ``forward``.
        shown: How the output becomes a picture.

    Returns:
        The spec, and the (height, width) to export at.

    Raises:
        UsageError: The number of inputs does not fit ``forward``, sizes or channels cannot be used,
            or inputs share a name. Or ``shown.at_full_size`` is asked of a network that does not
            turn RGB into RGB of the same size. Or ``shown.output`` names no output.
        ModuleError: ``forward`` fails, takes arguments other than tensors, or gives no picture.
    """
    names = _parameter_names(module)
    if len(shapes) != len(names):
        raise UsageError(
            f"forward takes {len(names)} input(s) ({', '.join(names)}), found {len(shapes)}; "
            "give `inputs` NAME=1x3xHxW for each"
        )
    if {given for given, _ in shapes} == set(names):
        shapes = sorted(shapes, key=lambda entry: names.index(entry[0] or ""))
    sizes = {shape[2:] for _, shape in shapes}
    if len(sizes) != 1:
        raise UsageError(f"inputs have sizes {sorted(sizes)}; expected one height and width")
    height, width = sizes.pop()
    inputs = tuple(
        TensorSpec(given or own, channels=shape[1], color=_color(shape[1]))
        for own, (given, shape) in zip(names, shapes, strict=True)
    )
    unknown = [spec.name for spec, own in zip(inputs, names, strict=True) if spec.name != own]
    if len({spec.name for spec in inputs}) != len(inputs):
        raise UsageError(f"inputs share a name: {', '.join(unknown)}; give each its own")
    other = [spec for spec in inputs if spec.channels not in CHANNELS]
    if other:
        raise UsageError(
            f"input {other[0].name!r} has {other[0].channels} channels; expected 3 (RGB), 1 (luma) "
            "or 4 (packed RGGB mosaic): wrap the module so that it takes such pictures"
        )
    example = tuple(torch.zeros(1, s.channels, height, width) for s in inputs)
    made = check_output(choose_output(module, example, shown.output))
    footprint = measure_footprint(module, inputs, (height, width))
    channels = [spec.channels for spec in inputs]
    output = TensorSpec(
        "output",
        channels=int(made.shape[1]),
        color=_color(int(made.shape[1])),
        scale=float(footprint.scale),
    )
    spec = ModelSpec(
        name=name,
        task="image to image",
        frames=tuple(s.name for s in inputs),
        inputs=inputs,
        outputs=(output,),
        halo=footprint.halo,
        multiple=footprint.multiple,
        extends=footprint.extends,
        grid=footprint.grid,
        ragged=footprint.ragged,
        front=None if set(channels) == {3} else StageSpec("channels", {"channels": channels}),
        back=StageSpec("chroma") if output.color == "Y" and footprint.scale == 1 else None,
    )
    if shown.at_full_size is not None:
        if output.color != "RGB" or set(channels) != {3} or footprint.scale != 1:
            raise UsageError(
                "`apply_at_full_size` needs a network that turns RGB into RGB of the same size; "
                "leave it out"
            )
        longest = min(height, width)
        form = full_size_stage(shown.at_full_size, len(inputs))
        spec = dataclasses.replace(spec, back=form, halo=None, longest=longest)
    values = shown.values
    if values is None:
        values = output_range(module, _pictures(spec, (height, width)))
    if not made.is_floating_point():
        module.register_forward_hook(_as_float)
    output = dataclasses.replace(output, value_range=values)
    return dataclasses.replace(spec, outputs=(output,)), (height, width)


def _color(channels: int) -> str:
    return {3: "RGB", 1: "Y"}.get(channels, "none")


def _as_float(_: torch.nn.Module, __: object, output: torch.Tensor) -> torch.Tensor:
    return output.float()


def _pictures(spec: ModelSpec, size: tuple[int, int]) -> Iterator[list[torch.Tensor]]:
    """Yield the network's inputs for photographs, and for black and white."""
    shape = spec.frame_size(size)
    frames = len(spec.frames)
    flat = [np.full((*shape, 3), level, np.float32) for level in (0, 1)]
    drawn = [Sample("flat", (picture,) * frames, None) for picture in flat]
    for given in network_inputs(spec, [*drawn, *samples(frames, None, shape)[:3]]):
        yield [torch.from_numpy(array) for array in planar(given).values()]


def _parameter_names(module: torch.nn.Module) -> list[str]:
    parameters = inspect.signature(module.forward).parameters.values()
    for kind, words in _NO_PICTURE.items():
        named = [p.name for p in parameters if p.kind is kind and p.default is p.empty]
        if named:
            raise ModuleError(
                f"forward takes {words.format(named[0])}; expected named image inputs: wrap the "
                "module"
            )
    return [p.name for p in parameters if p.default is p.empty]
