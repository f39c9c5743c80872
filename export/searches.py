"""Work of torch's exporters that gives the same result every time, done once for many lowerings.

torch 2.13 searches all operators for those with decompositions, again and again. To decompose a
program it also registers ten thousand functions, and makes four generic types for each.
onnxscript 0.7.2 reads the source of each of its functions again for every export.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
import torch._export.utils as torch_utils
import torch.export.decomp_utils as torch_tables
import torch.export.exported_program as torch_programs
from torch._C import DispatchKey
from torch._ops import OperatorBase

from edgeexpo.replaced import replaced

_SEARCHERS: tuple[ModuleType, ...] = (torch_tables, torch_programs)
"""Modules of torch that look for the operators with decompositions."""

_py_impl: Any = OperatorBase.py_impl


@contextlib.contextmanager
def searches_kept() -> Iterator[None]:
    """Do these searches once inside the block."""
    with contextlib.ExitStack() as stack:
        found = _once_for_each_set_of_operators(torch_utils._collect_all_valid_cia_ops)
        for searcher in _SEARCHERS:
            stack.enter_context(replaced(searcher, "_collect_all_valid_cia_ops", found))
        stack.enter_context(replaced(OperatorBase, "py_impl", _registering))
        if importlib.util.find_spec("onnxscript") is not None:
            registration = importlib.import_module("torch.onnx._internal.exporter._registration")
            owner = registration.onnxscript_apis
            listed = functools.cache(owner.get_torchlib_ops)
            stack.enter_context(replaced(owner, "get_torchlib_ops", listed))
        yield


def _once_for_each_set_of_operators(search: Callable[[], set[Any]]) -> Callable[[], set[Any]]:
    """Return a search that is repeated only after a library may have registered operators."""
    results: dict[tuple[int, ...], set[Any]] = {}

    def search_if_registered() -> set[Any]:
        known = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")
        state = (len(known), len(torch.ops._dir), len(sys.modules))
        if state not in results:
            results.clear()
            results[state] = search()
        return results[state]

    return search_if_registered


def _registering(self: OperatorBase, key: Any) -> Any:
    """Return what registers an operator's function for a key, as torch's own method does.

    torch's method makes the types of its annotations anew each time, which takes most of its time.
    """
    if not isinstance(key, DispatchKey):
        return _py_impl(self, key)

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        self.py_kernels[key] = function
        self._dispatch_cache.clear()
        return function

    return register
