"""Tests of ``edgeexpo models`` and of the cost that it prints."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator

import pytest
import torch

from edgeexpo.bundle.files import digest
from edgeexpo.cli import main, models
from edgeexpo.models import zoo
from edgeexpo.models.cost import count_cost

CASES = {
    "conv": (torch.nn.Conv2d(3, 8, 3, padding=1), (1, 3, 16, 20), 16 * 20 * 8 * 3 * 9),
    "strided": (torch.nn.Conv2d(3, 8, 3, stride=2, padding=1), (1, 3, 16, 20), 8 * 10 * 8 * 27),
    "grouped": (torch.nn.Conv2d(8, 8, 3, padding=1, groups=8), (1, 8, 16, 20), 16 * 20 * 8 * 9),
    "transposed": (torch.nn.ConvTranspose2d(4, 6, 2, 2), (1, 4, 5, 7), 5 * 7 * 4 * 6 * 4),
    "linear": (torch.nn.Linear(12, 5), (3, 12), 3 * 12 * 5),
}


@pytest.mark.parametrize("case", CASES)
def test_macs_are_those_of_the_textbook(case: str) -> None:
    module, shape, macs = CASES[case]
    cost = count_cost(module, [shape])
    assert cost.macs == macs
    assert cost.params == sum(p.numel() for p in module.parameters())


def test_counting_leaves_the_module_as_it_was() -> None:
    module = torch.nn.Conv2d(1, 1, 1).train()
    count_cost(module, [(1, 1, 4, 4)])
    assert module.training
    assert module.weight.device.type == "cpu"


def test_a_convolution_called_as_a_function_is_counted() -> None:
    class Functional(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = torch.nn.Parameter(torch.zeros(2, 3, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.conv2d(x, self.kernel)

    assert count_cost(Functional(), [(1, 3, 4, 4)]).macs == 4 * 4 * 6


@pytest.fixture(scope="module", autouse=True)
def counted_once() -> Iterator[None]:
    """Count the cost of every network once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "_row", functools.cache(models._row))
        yield


def test_every_network_of_the_zoo_is_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(zoo.ENTRIES)
    row, entry = rows["lrl-8"], zoo.get("lrl")
    assert row["task"] == entry.spec.task
    assert row["frames"] == ["under", "over"]
    assert [i["name"] for i in row["inputs"]] == ["y0"]
    parameters = sum(p.numel() for p in entry.build().parameters())
    assert row["params"] == parameters
    # At least nine of ten parameters are kernel weights, each of which is used once for each pixel.
    assert 0.9 * parameters < row["gmacs_512"] * 1e9 / 512**2 <= parameters
    assert entry.weights is not None
    assert row["weights_sha256"] == digest(entry.weights)
    assert row["trained_on"] == entry.trained_on


def test_the_table_names_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    typed = {preset: alias for alias, preset in zoo.ALIASES.items()}
    names = [line.split()[0] for line in out.splitlines() if line]
    assert {typed.get(name, name) for name in zoo.ENTRIES} <= set(names)
    ready, others = out.split("Presets without weights")
    shipped = [typed.get(name, name) for name in zoo.shipped()]
    assert [line.split()[0] for line in ready.splitlines()[4:] if line] == shipped
    assert not any(f"\n{name} " in others for name in shipped)
    assert max(map(len, out.splitlines())) <= 100


def test_without_torch_it_names_the_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    assert main(["models"]) == 4
    assert "[export]" in capsys.readouterr().err
