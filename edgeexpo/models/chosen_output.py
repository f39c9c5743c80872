"""One output of a network that gives several: a tuple, a list, a dictionary or a record."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from edgeexpo.errors import UsageError
from edgeexpo.program.capture import run_forward
from edgeexpo.progress import note


def choose_output(
    module: torch.nn.Module, example: tuple[torch.Tensor, ...], name: str | None
) -> Any:
    """Make ``module`` return one of its outputs alone from then on.

    A module that returns one tensor stays as it is. Outputs are named by their key, their field or
    their place, counted from 0, as in ``"0"`` or ``"pictures.1"``. Without a name, the only output
    that is a picture is taken, and a note says so.

    Args:
        module: The network.
        example: NCHW tensors to run it on.
        name: The output, or ``None``.

    Returns:
        What the module gives for ``example`` from then on.

    Raises:
        UsageError: No output has the name, or no name was given and several outputs are pictures.
        ModuleError: ``forward`` fails.
    """
    given = run_forward(module, example)
    outputs = dict(_outputs(given))
    if isinstance(given, torch.Tensor) or not outputs:
        if name is not None:
            raise UsageError(f"forward returns one output; leave `output_name` {name!r} out")
        return given
    if name is None:
        pictures = [key for key, value in outputs.items() if value.dim() == 4]
        if len(pictures) != 1:
            raise UsageError(
                f"forward returns {_listed(outputs)}; choose the picture with `output_name`"
            )
        (name,) = pictures
        if len(outputs) > 1:
            note(f"edgeexpo: of the outputs {_listed(outputs)}, {name} is taken; the rest is not")
    if name not in outputs:
        near = difflib.get_close_matches(name, outputs, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(f"forward returns no output {name!r}; {hint}it has {_listed(outputs)}")
    module.register_forward_hook(_Chosen(name))
    return outputs[name]


class _Chosen:
    """A hook that returns one of a module's outputs."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, _: torch.nn.Module, __: object, given: Any) -> torch.Tensor:
        return dict(_outputs(given))[self._name]


def _outputs(given: Any, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the name and the value of every tensor in what ``forward`` returned."""
    if isinstance(given, torch.Tensor):
        yield prefix, given
        return
    for name, value in _parts(given):
        yield from _outputs(value, f"{prefix}.{name}" if prefix else name)


def _parts(given: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(given, Mapping):
        yield from ((str(key), value) for key, value in given.items())
    elif dataclasses.is_dataclass(given) and not isinstance(given, type):
        yield from ((part.name, getattr(given, part.name)) for part in dataclasses.fields(given))
    elif isinstance(given, tuple) and hasattr(given, "_fields"):
        yield from zip(given._fields, given, strict=True)
    elif isinstance(given, (tuple, list)):
        yield from ((str(place), value) for place, value in enumerate(given))


def _listed(outputs: Mapping[str, torch.Tensor]) -> str:
    return ", ".join(
        f"{name} ({'x'.join(map(str, value.shape))})" for name, value in outputs.items()
    )
