"""Pruned weights that ship, with half of the operations and nearly the same picture."""

from __future__ import annotations

import pytest
import torch

from edgeexpo.models import zoo
from edgeexpo.models.cost import count_cost
from edgeexpo.workflows.networks import loaded
from edgeexpo.workflows.pruned_networks import examples, photograph_inputs, shipped_pruned

NAMES = [path.name.split(".")[0] for path in sorted(zoo.WEIGHTS.glob("*.pruned.safetensors"))]


@pytest.mark.parametrize("name", NAMES)
def test_half_of_the_operations_and_nearly_the_same_picture(name):
    entry, whole, _ = loaded(name, None)
    _, narrow, _ = loaded(name, shipped_pruned(name, 0.5))
    inputs = [tuple(x.shape) for x in examples(entry.spec)]
    assert (
        0.4 < count_cost(narrow.eval(), inputs).macs / count_cost(whole.eval(), inputs).macs <= 0.5
    )
    picture = photograph_inputs(entry.spec)[0]
    with torch.no_grad():
        error = (narrow(*picture) - whole(*picture)).square().mean()
    assert -10 * float(torch.log10(error)) > 30
