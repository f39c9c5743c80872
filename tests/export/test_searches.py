"""Searches that are done once for many lowerings, and as before afterwards."""

from __future__ import annotations

import torch._export.utils as torch_utils

from edgeexpo.export.searches import searches_kept


def test_a_search_is_done_once_inside_the_block_and_restored_after_it(monkeypatch):
    searches = []

    def search():
        searches.append(1)

    monkeypatch.setattr(torch_utils, "_materialize_cpp_cia_ops", search)
    with searches_kept():
        for _ in range(3):
            torch_utils._materialize_cpp_cia_ops()
    assert len(searches) == 1
    assert torch_utils._materialize_cpp_cia_ops is search


def test_new_operators_are_searched_for_again(monkeypatch):
    searches, known = [], [["a"]]
    monkeypatch.setattr(torch_utils, "_materialize_cpp_cia_ops", lambda: searches.append(1))
    monkeypatch.setattr("torch._C._dispatch_get_registrations_for_dispatch_key", lambda _: known[0])
    with searches_kept():
        torch_utils._materialize_cpp_cia_ops()
        known[0] = ["a", "b"]
        torch_utils._materialize_cpp_cia_ops()
    assert len(searches) == 2
