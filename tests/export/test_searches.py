"""Searches that are done once for many lowerings, and as before afterwards."""

from __future__ import annotations

import pytest
import torch
import torch._export.utils as torch_utils
import torch.export.decomp_utils as torch_tables
import torch.export.exported_program as torch_programs

from edgeexpo.export.searches import searches_kept


@pytest.fixture
def searches(monkeypatch):
    """Count the searches for operators with decompositions."""
    made = []

    def search():
        made.append(1)
        return {len(made)}

    monkeypatch.setattr(torch_utils, "_collect_all_valid_cia_ops", search)
    return made


@pytest.mark.parametrize("searcher", [torch_tables, torch_programs])
def test_a_search_is_done_once_inside_the_block_and_restored_after_it(searches, searcher):
    before = searcher._collect_all_valid_cia_ops
    with searches_kept():
        assert [searcher._collect_all_valid_cia_ops() for _ in range(3)] == [{1}] * 3
    assert len(searches) == 1
    assert searcher._collect_all_valid_cia_ops is before


def test_new_operators_are_searched_for_again(searches, monkeypatch):
    known = [["a"]]
    monkeypatch.setattr("torch._C._dispatch_get_registrations_for_dispatch_key", lambda _: known[0])
    with searches_kept():
        torch_programs._collect_all_valid_cia_ops()
        known[0] = ["a", "b"]
        torch_programs._collect_all_valid_cia_ops()
    assert len(searches) == 2


def test_a_program_is_decomposed_as_before():
    class Layers(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.silu(torch.nn.functional.instance_norm(x))

    exported = torch.export.export(Layers(), (torch.rand(1, 3, 8, 8),))
    before = str(exported.run_decompositions().graph)
    with searches_kept():
        assert str(exported.run_decompositions().graph) == before
