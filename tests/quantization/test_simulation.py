"""Tests that a simulated program rounds as the converted program does, and can be trained."""

from __future__ import annotations

import copy
import re

import pytest
import torch

from edgeexpo.errors import WeightsError
from edgeexpo.quantization import ptq
from edgeexpo.quantization.simulation import (
    PerPicture,
    Range,
    fix_ranges,
    observers,
    prepare_simulation,
    ranges_from_json,
    ranges_to_json,
    roundings,
    simulate,
)


@pytest.fixture(scope="module")
def prepared(program, pictures):
    _, prepared = ptq.calibrated(program, pictures)
    return prepared


@pytest.fixture
def graph(prepared):
    graph = copy.deepcopy(prepared)
    simulate(graph)
    return graph


def first(program, pictures):
    return ptq.tensors(program, pictures)[0]


def test_it_shows_what_the_converted_program_shows(program, quantized, pictures, graph):
    x = first(program, pictures)
    converted = quantized.exported.module()
    with torch.no_grad():
        assert torch.equal(graph(*x), converted(*x))


def test_switched_off_it_is_the_float_program(program, pictures, graph, residual):
    x = first(program, pictures)
    for rounding in roundings(graph).values():
        rounding.enabled = False
    with torch.no_grad():
        torch.testing.assert_close(graph(*x), residual(*x), atol=1e-5, rtol=0)


def test_every_switch_counts(program, pictures, graph):
    x = first(program, pictures)
    with torch.no_grad():
        whole = graph(*x)
        for name, rounding in roundings(graph).items():
            rounding.enabled = False
            assert not torch.equal(graph(*x), whole), name
            rounding.enabled = True


def test_training_under_the_rounding_brings_it_nearer(program, pictures, graph, residual):
    torch.manual_seed(0)
    student = PerPicture(graph).train()
    for parameter in student.parameters():
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(student.parameters(), 1e-3)
    batch = torch.cat([x for (x,) in ptq.tensors(program, pictures)])
    wanted = residual(batch).detach()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(1.05)
    errors = []
    for _ in range(30):
        error = (student(batch) - wanted).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.5 * errors[0]
    assert copy.deepcopy(student)(batch).shape == batch.shape


def test_ranges_survive_json(graph):
    ranges = ranges_from_json(ranges_to_json(graph))
    kept = {n: r.range for n, r in roundings(graph).items() if not r.is_weight}
    assert ranges == kept
    assert all(-128 <= r.zero_point <= 127 and r.scale > 0 for r in ranges.values())


def test_what_is_trained_holds_nothing_of_the_observers(graph):
    assert not [name for name in graph.state_dict() if "activation_post_process" in name]
    weights = [n for n, r in roundings(graph).items() if r.is_weight]
    assert len(weights) == 3


def test_ranges_of_another_program_are_refused(program):
    prepared = prepare_simulation(program)
    names = [n for n, _ in observers(prepared)]
    with pytest.raises(WeightsError, match="of another program: "):
        fix_ranges(prepared, {names[0]: Range(0.1, 0), "other": Range(0.1, 0)})


def test_ranges_fit_another_trace_whose_numbers_count_sizes_too(program, graph):
    ranges = ranges_from_json(ranges_to_json(graph))
    shifted = {
        re.sub(r"(_\d+)?$", f"_{50 + number}", name, count=1): ranges[name]
        for number, name in enumerate(ranges)
    }
    assert shifted.keys() != ranges.keys()
    prepared = prepare_simulation(program)
    fix_ranges(prepared, shifted)
    simulate(prepared)
    assert ranges_from_json(ranges_to_json(prepared)) == ranges


def test_chosen_operators_stay_in_float(program, pictures):
    convolutions = [
        n.name for n in ptq.separate(program).exported.module().graph.nodes if "conv2d" in n.name
    ]
    _, all_of_them = ptq.calibrated(program, pictures)
    _, fewer = ptq.calibrated(program, pictures, frozenset(convolutions[:1]))
    assert len(list(observers(fewer))) < len(list(observers(all_of_them)))
