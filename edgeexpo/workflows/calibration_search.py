"""Calibration variants of a network, judged by their pictures, and the best of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.fx import GraphModule

from edgeexpo.errors import ExportError
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity.metrics.pictures import delta_e_p99, psnr
from edgeexpo.program.capture import Program
from edgeexpo.progress import note, status
from edgeexpo.quantization.ptq import tensors
from edgeexpo.quantization.variants import (
    NNCF,
    RANGES,
    Calibration,
    Variant,
    adapted,
    parse_variant,
)
from edgeexpo.runtime.network_pictures import network_inputs
from edgeexpo.workflows.network_tensors import displayed_output
from edgeexpo.workflows.networks import Network


@dataclass(frozen=True)
class Score:
    """How near INT8 pictures are to the float network's.

    Attributes:
        worst: PSNR of the worst picture, dB.
        mean: Mean PSNR, dB.
        delta_e: Largest 99th percentile of CIEDE2000 of a picture; ``None`` for luminance.
    """

    worst: float
    mean: float
    delta_e: float | None

    @property
    def total(self) -> float:
        """What variants are compared by, dB: halfway between the worst picture and the mean.

        The worst alone is one picture's luck, the mean alone forgives a spoiled one.
        """
        return (self.worst + self.mean) / 2


@dataclass(frozen=True)
class VariantScore:
    """One variant's result.

    Attributes:
        variant: Its name.
        score: ``None`` where it could not be made.
        seconds: To make it, ranges included where it was the first to need them.
        skipped: Why it could not be made.
    """

    variant: str
    score: Score | None
    seconds: float
    skipped: str | None = None


class PictureJudge:
    """Compares simulated programs with the float network on some pictures.

    Args:
        network: The float network.
        program: Its captured form.
        shown: Pictures to judge on.
    """

    def __init__(self, network: Network, program: Program, shown: Sequence[Sample]) -> None:
        self._spec = network.spec
        self.pictures = tuple(sample.name for sample in shown)
        self._inputs = tensors(program, network_inputs(network.spec, shown))
        with torch.no_grad():
            self._wanted = [self._seen(network.module(*inputs)) for inputs in self._inputs]

    def __call__(self, graph: GraphModule) -> Score:
        """The score of a simulated program."""
        with torch.no_grad():
            found = [self._seen(graph(*inputs)) for inputs in self._inputs]
        pairs = list(zip(self._wanted, found, strict=True))
        decibels = [psnr(*pair) for pair in pairs]
        colours = [delta_e_p99(*pair) for pair in pairs if pair[0].shape[2] == 3]
        return Score(min(decibels), sum(decibels) / len(decibels), max(colours, default=None))

    def _seen(self, output: Tensor) -> np.ndarray:
        return displayed_output(self._spec, output)


@dataclass(frozen=True)
class Comparison:
    """All variants that were tried, and the best of them.

    Attributes:
        rows: In the order in which they were tried.
        best: The variant with the highest :attr:`Score.total`; of equals, the first.
        graph: Its simulated program.
        pictures: Names of the pictures that they were judged on.
    """

    rows: tuple[VariantScore, ...]
    best: VariantScore
    graph: GraphModule = field(repr=False)
    pictures: tuple[str, ...]

    def margin(self, variant: str | None = None) -> float | None:
        """By how many dB of :attr:`Score.total` the best beats ``variant``, or the next best.

        ``None`` where there is no such variant.
        """
        others = [
            row.score.total
            for row in self.rows
            if row.score is not None and row is not self.best and variant in (None, row.variant)
        ]
        if self.best.variant == variant:
            return 0.0
        assert self.best.score is not None
        return self.best.score.total - max(others) if others else None


def compare(calibration: Calibration, judge: PictureJudge, names: Sequence[str] = ()) -> Comparison:
    """Make variants, judge each and keep the best.

    Args:
        calibration: Makes them.
        judge: Scores them.
        names: Variants to try; by default the choices of ranges, then what adapts weights and
            biases under the best of those, then NNCF.

    Raises:
        UsageError: An unknown variant, or calibration pictures that cannot be used.
        ExportError: No variant could be made.
    """
    search = _Search(calibration, judge)
    if names:
        search.run([parse_variant(name) for name in names])
    else:
        ranges = search.run(RANGES)
        search.run([*adapted(ranges), parse_variant(NNCF)])
    assert search.best is not None
    assert search.graph is not None
    return Comparison(tuple(search.rows), search.best, search.graph, judge.pictures)


class _Search:
    def __init__(self, calibration: Calibration, judge: PictureJudge) -> None:
        self._calibration = calibration
        self._judge = judge
        self.rows: list[VariantScore] = []
        self.best: VariantScore | None = None
        self.graph: GraphModule | None = None

    def run(self, variants: Sequence[Variant]) -> Variant:
        """Try ``variants``; the best of all so far."""
        for variant in variants:
            with status(f"Calibrating {variant.name}"):
                row, graph = self._tried(variant)
            self.rows.append(row)
            note(told(row))
            if row.score is not None and (self.best is None or _total(row) > _total(self.best)):
                self.best, self.graph = row, graph
        if self.best is None:
            raise ExportError(f"no calibration variant could be made; {self.rows[-1].skipped}")
        return parse_variant(self.best.variant)

    def _tried(self, variant: Variant) -> tuple[VariantScore, GraphModule | None]:
        start = time.monotonic()
        try:
            graph = self._calibration.make(variant)
        except ExportError as error:
            return VariantScore(variant.name, None, time.monotonic() - start, str(error)), None
        return VariantScore(variant.name, self._judge(graph), time.monotonic() - start), graph


def _total(row: VariantScore) -> float:
    assert row.score is not None
    return row.score.total


def told(row: VariantScore) -> str:
    """Say a variant's result in one line."""
    if row.score is None:
        return f"{row.variant}: skipped, {row.skipped}"
    score = row.score
    colours = "" if score.delta_e is None else f", dE2000 p99 {score.delta_e:.2f}"
    return f"{row.variant}: worst {score.worst:.2f} dB, mean {score.mean:.2f} dB{colours}"
