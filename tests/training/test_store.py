"""Scenes on disk: a store goes on where it stopped, and damaged files are named."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest

from edgeexpo.errors import UsageError
from edgeexpo.testing.mutated.damage import DAMAGES, damaged
from edgeexpo.training.scenes import read_sources
from edgeexpo.training.store import Store, make

COUNT = 2


@pytest.fixture
def folder(data_folder, tmp_path):
    make(read_sources(data_folder), "correction", tmp_path / "s", count=COUNT, size=16, seed=0)
    return tmp_path / "s"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '"done"', "{}", '{"done": null}', '{"done": NaN}', "[" * 5000]
)
def test_a_damaged_record_is_named(folder, data_folder, text):
    (folder / "scenes.json").write_text(text)
    with pytest.raises(UsageError, match=r"scenes\.json is no record of scenes .* remove "):
        make(read_sources(data_folder), "correction", folder, count=COUNT, size=16, seed=0)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_scenes_are_read_or_named(folder, damage):
    path = sorted(folder.glob("*.npy"))[0]
    whole = path.read_bytes()
    for seed in range(20):
        # The header alone says what the rest is.
        head = damaged(whole[:128], damage, np.random.default_rng(seed))
        path.write_bytes(head + whole[128:])
        with contextlib.suppress(UsageError):
            Store(folder, COUNT)


def test_scenes_of_another_shape_are_not_gone_on_with(folder, data_folder):
    record = json.loads((folder / "scenes.json").read_text())
    (folder / "scenes.json").write_text(json.dumps({**record, "done": 1}))
    path = sorted(folder.glob("*.npy"))[0]
    np.save(path, np.zeros((COUNT, 8, 8, 3), np.uint8))
    with pytest.raises(UsageError, match=r"holds \(2, 8, 8, 3\) uint8; expected"):
        make(read_sources(data_folder), "correction", folder, count=COUNT, size=16, seed=0)
