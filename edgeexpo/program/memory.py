"""Memory that a network needs at a size, found without running it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from edgeexpo.errors import UsageError
from edgeexpo.free_memory import free_memory

SAFE_CHANNELS = 2048
"""Channels in float32 that a layer may have at a size which is not looked at closer."""

_GIB = 1 << 30


def check_memory(
    module: torch.nn.Module, shapes: Sequence[tuple[int, ...]], where: str = "size"
) -> None:
    """Refuse a size at which one operator of a network alone takes more memory than is free.

    Sizes that are far from the limit are accepted at once.

    Args:
        module: The network in eval mode.
        shapes: NCHW shapes of its inputs.
        where: Name of the argument that chooses the size, for the message.

    Raises:
        UsageError: The network cannot run at the size.
    """
    free = free_memory()
    pixels = max((shape[-2] * shape[-1] for shape in shapes), default=0)
    if free is None or pixels * 4 * SAFE_CHANNELS < free:
        return
    needed = least_memory(module, shapes)
    if needed <= free:
        return
    height, width = max((shape[-2:] for shape in shapes), key=lambda size: size[0] * size[1])
    raise UsageError(
        f"at {height}x{width} (HxW) one layer of the network takes {needed / _GIB:.1f} GiB, and "
        f"{free / _GIB:.1f} GiB are free; give a smaller `{where}`: larger pictures run in tiles"
    )


def least_memory(module: torch.nn.Module, shapes: Sequence[tuple[int, ...]]) -> int:
    """Return the bytes of the operator that takes most, its inputs and its result together.

    The network is followed on tensors without data. Where it cannot be followed so, only what comes
    before counts.

    Args:
        module: The network in eval mode.
        shapes: NCHW shapes of its float32 inputs.
    """
    largest = _Largest()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        inputs = [torch.empty(shape) for shape in shapes]
        largest.seen = _bytes(inputs)
        try:
            with largest:
                module(*inputs)
        except Exception:  # noqa: BLE001 - a network may raise anything, and is refused later
            return largest.seen
    return largest.seen


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keep the largest number of bytes that an operator reads and writes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.seen = max(self.seen, _bytes([args, kwargs, result]))
        return result


def _bytes(values: Any) -> int:
    """Return the bytes of the tensors among some values; tensors of one storage count once."""
    tensors = [v for v in tree_leaves(values) if isinstance(v, torch.Tensor)]
    storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())
