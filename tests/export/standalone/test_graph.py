"""The graph of a network and its stages against the runtime, with a recorded network output."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeexpo.errors import UsageError
from edgeexpo.export.standalone.graph import Standalone, check_stages
from edgeexpo.export.standalone.program import check_standalone, standalone_spec
from edgeexpo.models.full_size import full_size_stage, fusion_stage
from edgeexpo.models.zoo import get
from edgeexpo.parity.probes import scene
from edgeexpo.runtime.engines.base import Arrays
from edgeexpo.runtime.session import Session
from edgeexpo.spec import ModelSpec, SizeRange, StageSpec

SIZES = SizeRange(largest=(512, 512), smallest=(64, 64), multiple=64)


class _Recorded(torch.nn.Module):
    """A network that gives one recorded output, whatever its inputs."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("output", output)

    def forward(self, *_: torch.Tensor) -> torch.Tensor:
        return self.get_buffer("output")


class _RecordedEngine:
    """An engine that gives the same recorded output."""

    name = "recorded"

    def __init__(self, output: np.ndarray, name: str) -> None:
        self._output, self._name = output, name

    def load(self, path: object) -> None: ...

    def run(self, inputs: Arrays) -> dict[str, np.ndarray]:
        return {self._name: self._output}

    def close(self) -> None: ...


def _frames(count: int, height: int, width: int) -> list[np.ndarray]:
    pictures = scene("scene", count, (height, width)).frames
    return [np.asarray(np.rint(p * 255), np.uint8) for p in pictures]


def _difference(spec: ModelSpec, frames: list[np.ndarray], seed: int = 0) -> np.ndarray:
    """Return how many codes the graph's picture is off the runtime's."""
    size = (frames[0].shape[0], frames[0].shape[1])
    small = Standalone(torch.nn.Identity(), spec, size, SIZES).small
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 6, generator=generator)
    output = torch.nn.functional.interpolate(coarse, small, mode="bilinear")
    engine = _RecordedEngine(output.numpy(), spec.outputs[0].name)
    shown = Session(spec, SIZES, engine)(*frames)
    graph = Standalone(_Recorded(output), spec, size, SIZES)
    with torch.no_grad():
        found = graph(*(torch.from_numpy(frame) for frame in frames)).numpy()
    return np.abs(found.astype(int) - shown)


@pytest.mark.parametrize("name", ["exponet", "exponet-double", "kdfusion", "twophase"])
@settings(max_examples=4, deadline=None)
@given(st.integers(257, 400), st.integers(80, 400), st.integers(0, 9))
def test_stages_are_those_of_the_runtime(name: str, height: int, width: int, seed: int) -> None:
    spec = get(name).spec
    off = _difference(spec, _frames(len(spec.frames), height, width), seed)
    assert off.max() <= 2
    assert (off > 1).mean() <= 1e-3


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("name", ["exponet", "twophase"])
def test_stages_agree_on_flat_frames(name: str, value: int) -> None:
    spec = get(name).spec
    flat = np.full((128, 192, 3), value, np.uint8)
    assert _difference(spec, [flat] * len(spec.frames)).max() <= 1


def test_another_rendering_is_noticed() -> None:
    """The comparison is strict enough to see a parameter that differs."""
    spec = get("exponet").spec
    assert spec.back is not None
    frames = _frames(1, 128, 160)
    size = (128, 160)
    output = torch.full((1, 3, 128, 128), 0.5)
    engine = _RecordedEngine(output.numpy(), spec.outputs[0].name)
    shown = Session(spec, SIZES, engine)(*frames)
    wider = StageSpec("render", {**spec.back.parameters, "radius": 4})
    changed = Standalone(_Recorded(output), dataclasses.replace(spec, back=wider), size, SIZES)
    with torch.no_grad():
        found = changed(torch.from_numpy(frames[0])).numpy()
    assert np.abs(found.astype(int) - shown).max() > 2


@pytest.mark.parametrize(
    "back", [None, full_size_stage("guided", 1), fusion_stage("fusion"), fusion_stage("render")]
)
def test_stages_without_a_graph_are_refused(back: StageSpec | None) -> None:
    spec = dataclasses.replace(get("exponet").spec, back=back)
    with pytest.raises(UsageError, match="no form as one graph yet"):
        check_stages(spec)


@pytest.mark.parametrize("size", [(63, 512), (100_000, 100_000)])
def test_sizes_that_fit_no_graph_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="expected sides of 64 pixels or more"):
        check_standalone(get("exponet").spec, size, ["onnx"])


def test_targets_without_such_graphs_are_refused() -> None:
    with pytest.raises(UsageError, match="qnn takes no graph with its stages"):
        check_standalone(get("exponet").spec, (128, 128), ["onnx", "qnn"])


def test_frames_off_the_networks_grid_are_refused() -> None:
    with pytest.raises(UsageError, match="in multiples of 64"):
        Standalone(torch.nn.Identity(), get("kdfusion").spec, (128, 130), SIZES)


def test_the_spec_of_the_graph_describes_frames() -> None:
    spec = standalone_spec(get("twophase").spec, (96, 130))
    assert spec.takes_frames
    assert [t.shape((1, 1)) for t in spec.inputs] == [(96, 130, 3)] * 2
    assert spec.front is None
    assert spec.back is None
    assert spec.fixed_size == (96, 130)
