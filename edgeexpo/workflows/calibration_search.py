"""Search for the calibration variant of a network that gives the best pictures."""

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
    """Distance of INT8 pictures from the float network's pictures.

    Attributes:
        worst: PSNR of the worst picture in dB.
        mean: Mean PSNR over the pictures in dB.
        delta_e: Largest 99th percentile of CIEDE2000 of a picture. ``None`` for a network of
            luminance.
    """

    worst: float
    mean: float
    delta_e: float | None

    @property
    def total(self) -> float:
        """The figure by which variants are compared, in dB: halfway between worst and mean.

        The worst picture alone depends on chance. The mean alone hides a spoiled picture.
        """
        return (self.worst + self.mean) / 2


@dataclass(frozen=True)
class VariantScore:
    """The result of one variant.

    Attributes:
        variant: Name of the variant.
        score: Score of the variant. ``None`` if the variant could not be made.
        seconds: Time to make the variant. The time for ranges belongs to the first variant that
            needs them.
        skipped: Reason why the variant could not be made. ``None`` if the variant was made.
    """

    variant: str
    score: Score | None
    seconds: float
    skipped: str | None = None


class PictureJudge:
    """A judge that compares simulated programs with the float network on some pictures.

    Args:
        network: The float network.
        program: The captured program of the network.
        shown: Pictures to judge on. Their frames are HxWx3 float32, sRGB-encoded, in [0, 1].
    """

    def __init__(self, network: Network, program: Program, shown: Sequence[Sample]) -> None:
        self._spec = network.spec
        self.pictures = tuple(sample.name for sample in shown)
        self._inputs = tensors(program, network_inputs(network.spec, shown))
        with torch.no_grad():
            self._wanted = [self._seen(network.module(*inputs)) for inputs in self._inputs]

    def __call__(self, graph: GraphModule) -> Score:
        """Return the score of a simulated program."""
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
        rows: The variants in the order in which they were tried.
        best: The variant with the highest :attr:`Score.total`. Of equal variants, the first.
        graph: The simulated program of the best variant.
        pictures: Names of the pictures that the variants were judged on.
    """

    rows: tuple[VariantScore, ...]
    best: VariantScore
    graph: GraphModule = field(repr=False)
    pictures: tuple[str, ...]

    def margin(self, variant: str | None = None) -> float | None:
        """Return by how many dB of :attr:`Score.total` the best beats another variant.

        Args:
            variant: Name of the other variant. ``None`` stands for the next best.

        Returns:
            The margin in dB, which is 0 for the best variant itself. ``None`` if the other variant
            has no score.
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
    """Make variants, judge each of them, and keep the best.

    By default, the choices of ranges are tried first. Then follow the variants that adapt weights
    and biases under the best choice of ranges. NNCF is tried last.

    Args:
        calibration: The calibration that makes the variants.
        judge: The judge that scores the variants.
        names: Names of the variants to try instead of the default ones.

    Raises:
        UsageError: A variant is unknown, or the calibration pictures cannot be used.
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
        """Try ``variants`` and return the best variant so far."""
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
    """Return the result of a variant in one line."""
    if row.score is None:
        return f"{row.variant}: skipped, {row.skipped}"
    score = row.score
    colours = "" if score.delta_e is None else f", dE2000 p99 {score.delta_e:.2f}"
    return f"{row.variant}: worst {score.worst:.2f} dB, mean {score.mean:.2f} dB{colours}"
