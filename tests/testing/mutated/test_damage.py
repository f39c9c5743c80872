"""Mutations of bytes and documents: each changes something, and equal seeds change the same."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from edgeexpo.testing.mutated.damage import DAMAGES, damaged
from edgeexpo.testing.mutated.documents import mutated


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("data", [b"\0", b"\xff" * 40, bytes(range(256))])
def test_damage_changes_data_of_every_length(damage, data):
    for seed in range(50):
        assert damaged(data, damage, np.random.default_rng(seed)) != data


@pytest.mark.parametrize("damage", DAMAGES)
def test_equal_seeds_damage_alike(damage):
    made = [damaged(bytes(range(99)), damage, np.random.default_rng(3)) for _ in range(2)]
    assert made[0] == made[1]


def test_a_changed_document_differs_and_leaves_the_original_as_it_was():
    document = {"model": {"inputs": [{"name": "x"}], "halo": 2}, "files": {}, "error": None}
    before, found = copy.deepcopy(document), set()
    for seed in range(300):
        changed, words = mutated(document, np.random.default_rng(seed))
        found.add(words.split()[0])
        assert document == before
        assert words
        if "nested" not in words:
            json.dumps(changed)
    assert found == {"remove", "replace", "copy", "add", "rename"}
