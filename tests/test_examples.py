"""Runs of the examples in the docstrings of the public functions."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
import torch

import edgeexpo.runtime

pytestmark = pytest.mark.usefixtures("small_probes")

FUNCTIONS = {name: getattr(edgeexpo, name) for name in edgeexpo.__all__ if name != "__version__"}
FUNCTIONS["runtime.load"] = edgeexpo.runtime.load
"""Public functions, by name."""

SLOW = {"bench", "tune"}
"""Functions whose examples start processes that load every engine."""


@pytest.fixture(scope="module")
def names(picture_folder, data_folder, tmp_path_factory) -> dict[str, Any]:
    """Return the values that the examples use.

    The example of ``export_bundle`` makes the bundle of the others.
    """
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 3, 3, padding=1),
    )
    found = {
        "edgeexpo": edgeexpo,
        "numpy": np,
        "network": network,
        "photographs": picture_folder,
        "maps_and_photographs": data_folder,
        "folder": tmp_path_factory.mktemp("examples"),
    }
    assert run("export_bundle", found) == ""
    return found


def run(name: str, names: dict[str, Any]) -> str:
    """Run the example of a function and return its differences from the expected output."""
    text = FUNCTIONS[name].__doc__
    example = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    assert example.examples
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=said.append, clear_globs=False)
    names.update({k: v for k, v in example.globs.items() if k == "bundle"})
    return "".join(said)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in FUNCTIONS]
)
def test_the_example_of_every_function_runs(name, names):
    if name == "export_bundle":
        assert names["bundle"].manifest.status == "verified"  # The fixture ran it.
        return
    assert run(name, names) == ""
