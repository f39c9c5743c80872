"""Searches of torch's exporters that give the same result every time, done once for many lowerings.

torch 2.13 searches all operators for those with decompositions, again and again. onnxscript 0.7.2
reads the source of each of its functions again for every export.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterator

import torch
import torch._export.utils as torch_utils

from edgeexpo.replaced import replaced


@contextlib.contextmanager
def searches_kept() -> Iterator[None]:
    """Do these searches once inside the block."""
    with contextlib.ExitStack() as stack:
        known = _once_for_each_set_of_operators(torch_utils._materialize_cpp_cia_ops)
        stack.enter_context(replaced(torch_utils, "_materialize_cpp_cia_ops", known))
        if importlib.util.find_spec("onnxscript") is not None:
            registration = importlib.import_module("torch.onnx._internal.exporter._registration")
            owner = registration.onnxscript_apis
            listed = functools.cache(owner.get_torchlib_ops)
            stack.enter_context(replaced(owner, "get_torchlib_ops", listed))
        yield


def _once_for_each_set_of_operators(search: Callable[[], None]) -> Callable[[], None]:
    """Return a search that is repeated only after a library has registered operators."""
    searched: set[int] = set()

    def search_if_registered() -> None:
        found = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")
        if len(found) not in searched:
            search()
            searched.add(len(found))

    return search_if_registered
