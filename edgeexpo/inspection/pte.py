"""Read the calls of a ``.pte`` file: its kernels, and its delegates with their operators."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeexpo.inspection.xnnpack_payload import XNNPACK, XnnpackOperator, xnnpack_operators

PTE_MAGIC = b"ET12"
"""Magic number of a ``.pte`` file, at byte 4."""


@dataclass(frozen=True)
class Delegate:
    """A part of the program that another runtime executes.

    Attributes:
        backend: Name of that runtime.
        operators: The operators of this part; ``None`` if this module cannot read the backend.
    """

    backend: str
    operators: tuple[XnnpackOperator, ...] | None


@dataclass(frozen=True)
class PteProgram:
    """The method ``forward`` of a ``.pte`` file.

    Attributes:
        plan: executorch's own record of the method: its values, inputs and outputs.
        delegates: All delegates of the program.
        called: Delegates in the order of their calls; a delegate may be called twice.
        kernels: Portable kernels in the order of their calls, as (name, overload).
    """

    plan: Any
    delegates: tuple[Delegate, ...]
    called: tuple[Delegate, ...]
    kernels: tuple[tuple[str, str], ...]


def read_pte(path: Path) -> PteProgram:
    """Read a ``.pte`` file; each delegate is read once.

    Raises:
        ValueError: The file is not an ExecuTorch program.
        ImportError: executorch is not installed.
    """
    from executorch.exir._serialize._program import deserialize_pte_binary

    data = path.read_bytes()
    if data[4:8] != PTE_MAGIC:
        raise ValueError(f"its magic number is not {PTE_MAGIC.decode()}")
    try:
        program = deserialize_pte_binary(data).program
        plan = program.execution_plan[0]
        calls = [i.instr_args for chain in plan.chains for i in chain.instructions]
        delegates = tuple(_delegate(program, delegate) for delegate in plan.delegates)
        kernels = [plan.operators[c.op_index] for c in calls if hasattr(c, "op_index")]
        return PteProgram(
            plan=plan,
            delegates=delegates,
            called=tuple(
                delegates[c.delegate_index] for c in calls if hasattr(c, "delegate_index")
            ),
            kernels=tuple((kernel.name, kernel.overload) for kernel in kernels),
        )
    except (struct.error, ValueError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(str(error)) from error


def _delegate(program: Any, delegate: Any) -> Delegate:
    if delegate.id != XNNPACK:
        return Delegate(delegate.id, None)
    data = program.backend_delegate_data[delegate.processed.index].data
    return Delegate(delegate.id, xnnpack_operators(bytes(data)))
