"""Modules drawn at random: equal seeds, valid sources, every kind of block."""

from __future__ import annotations

import random

import pytest
import torch

from edgeexpo.models.foreign import load_factory
from edgeexpo.testing.generated.module import FACTORY, KINDS, MOST_BLOCKS, draw_module

BLOCKS = [block for kind in KINDS for block in kind]


def made(source: str, name: str):
    names: dict = {}
    exec(source, names)
    return names[name]


def test_equal_seeds_draw_equal_modules_and_others_differ():
    assert draw_module(3) == draw_module(3)
    assert len({draw_module(seed).source for seed in range(20)}) == 20


def test_every_number_of_blocks_and_every_block_is_drawn():
    drawn = [draw_module(seed) for seed in range(600)]
    assert {len(d.blocks) for d in drawn} == set(range(1, MOST_BLOCKS + 1))
    assert {b for d in drawn for b in d.blocks} == {f"{b.kind} {b.name}" for b in BLOCKS}


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.kind}-{block.name}")
def test_a_block_keeps_size_and_channels_whatever_is_drawn(block):
    header = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n\n"
    x = torch.rand(1, 8, 24, 32)
    for seed in range(max(len(values) for values in (*block.choices.values(), ()))):
        source = header + block.source("Block", 8, random.Random(seed))
        with torch.no_grad():
            y = made(source, "Block")().eval()(x)
        assert y.shape == x.shape, source
        assert torch.isfinite(y).all(), source


@pytest.mark.parametrize("seed", range(10))
def test_the_written_file_gives_a_module_whose_correction_is_seen(seed, tmp_path):
    drawn = draw_module(seed)
    module = load_factory(f"{drawn.write(tmp_path)}:{FACTORY}")
    x = torch.rand(1, 3, drawn.side, drawn.side)
    with torch.no_grad():
        assert (module(x) - x).abs().max() > 0.01
        assert torch.equal(module(x), load_factory(f"{drawn.write(tmp_path)}:{FACTORY}")(x))
