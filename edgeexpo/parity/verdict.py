"""The results of every artefact, and the check of its gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeexpo.parity.cases import PHOTOGRAPH, PROBE, Case
from edgeexpo.parity.golden import Device
from edgeexpo.parity.judgement import KINDS, Judgement
from edgeexpo.parity.metrics.geometry import CHANNEL_ORDERS, ORIENTATIONS
from edgeexpo.parity.metrics.pictures import ALL, SHIFT_METRICS, total, worst
from edgeexpo.parity.saturation import Saturation
from edgeexpo.short_repr import short_repr

MEANINGS: Mapping[str, Mapping[float, str]] = {
    "orientation": {float(i): words for i, words in enumerate(ORIENTATIONS)},
    "channel_order": {
        float(i): "".join("RGB"[c] for c in order) for i, order in enumerate(CHANNEL_ORDERS)
    },
    "frame_order": {1.0: "the frames are in the other order"},
}
"""Meanings of the values of metrics that count kinds, by metric and value."""


@dataclass(frozen=True)
class OtherHost:
    """Another machine that ran an artefact.

    Attributes:
        name: Address of the machine.
        processor: Name of its processor.
        features: Its processor's features (:data:`edgeexpo.processor.CPU_FEATURES`).
        os: Its operating system.
        version: Version of the engine there.
        ms: Median time in ms of the runs there, without the connection. ``None`` without a run.
        lost: True if the artefact could not be judged because the machine was lost.
    """

    name: str
    processor: str
    features: tuple[str, ...]
    os: str
    version: str
    ms: float | None = None
    lost: bool = False


@dataclass(frozen=True)
class ArtifactParity:
    """The comparison of one artefact with the reference; false unless it is verified.

    Attributes:
        file: The artefact's path relative to the bundle.
        target: The artefact's target.
        precision: The artefact's precision.
        status: ``verified``, ``unverified`` or ``failed``.
        verified_by: Name of the engine that ran the artefact.
        error: The reason for a failure or a missing verification.
        failed_gates: A line for every gate that does not hold; the first line names the fault best.
        worst: Worst value over photographs of every metric of
            :data:`edgeexpo.parity.metrics.pictures.ALL`; ``X_quantized`` is ``X`` against the
            quantised program.
        worst_probe: Worst value over probes of the same metrics.
        total: Values over all photographs together: ``correction_snr`` for residual networks, and
            means for INT8.
        per_input: One row of metrics per picture.
        explained_gates: A line for every gate that holds because rounding explains the value
            (:mod:`edgeexpo.parity.rounding`).
        psnr_picture: PSNR in dB of the final pictures (front stage, network, back stage) for the
            first photograph.
        outputs: The artefact's output per picture, HxWxC float32, for reports; not part of the
            record.
        host: The machine that ran the artefact; ``None`` for this one.
    """

    file: str
    target: str
    precision: str
    status: str
    verified_by: str | None = None
    error: str | None = None
    failed_gates: tuple[str, ...] = ()
    worst: Mapping[str, float] = field(default_factory=dict)
    worst_probe: Mapping[str, float] = field(default_factory=dict)
    total: Mapping[str, float] = field(default_factory=dict)
    per_input: tuple[Mapping[str, Any], ...] = ()
    explained_gates: tuple[str, ...] = ()
    psnr_picture: float | None = None
    outputs: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)
    host: OtherHost | None = None

    @property
    def label(self) -> str:
        """The file, with the machine if it is not this one."""
        return self.file if self.host is None else f"{self.file} on {self.host.name}"

    def __bool__(self) -> bool:
        return self.status == "verified"

    def __repr__(self) -> str:
        return short_repr(f"ArtifactParity: {self.in_short}", self.failed_gates)

    @property
    def in_short(self) -> str:
        """The verdict in one line."""
        scores = [
            f"{k} {self.worst[k]:.4g}" for k in ("psnr", "ssim", "max_abs") if k in self.worst
        ]
        error = f"; {self.error}" if self.error and not self.failed_gates else ""
        return f"{self.label}: {self.status}, {', '.join(scores) or 'not run'}{error}"


@dataclass(frozen=True)
class ParityReport:
    """The verdict over a bundle; false in a boolean context when an artefact failed.

    Attributes:
        model: Name of the network.
        reference: Where the float program ran.
        artifacts: The verdict of each artefact.
        noise_floor: Worst PSNR in dB between the quantised and the float program, in torch.
        agreement: How far the artefacts of one precision lie from each other.
        cases: The pictures that were judged; not part of the record.
        saturation: What saturates in the quantised program: for every layer, the picture of which
            it clips the largest share.
    """

    model: str
    reference: Device
    artifacts: tuple[ArtifactParity, ...]
    noise_floor: float | None
    agreement: tuple[Mapping[str, Any], ...]
    cases: tuple[Case, ...] = field(default=(), repr=False, compare=False)
    saturation: tuple[Saturation, ...] = ()

    @property
    def lost(self) -> tuple[ArtifactParity, ...]:
        """The artefacts that could not be judged because another machine was lost."""
        return tuple(a for a in self.artifacts if a.host is not None and a.host.lost)

    @property
    def passed(self) -> bool:
        """True when no artefact failed a gate."""
        return all(a.status != "failed" for a in self.artifacts)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        lines = []
        for artifact in self.artifacts:
            lines += [artifact.in_short, *(f"  {gate}" for gate in artifact.failed_gates)]
        verdict = "passed" if self.passed else "failed"
        return short_repr(
            f"ParityReport of {self.model}: {verdict}, reference on {self.reference.device}", lines
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the record that the manifest keeps and the verb parity prints as JSON."""
        return {
            "passed": self.passed,
            "model": self.model,
            "reference": dataclasses.asdict(self.reference),
            "noise_floor": self.noise_floor,
            "agreement": [dict(a) for a in self.agreement],
            "saturation": [dataclasses.asdict(s) for s in self.saturation],
            "artifacts": [
                {
                    "file": a.file,
                    "target": a.target,
                    "precision": a.precision,
                    "passed": bool(a),
                    "status": a.status,
                    "verified_by": a.verified_by,
                    "error": a.error,
                    "failed_gates": list(a.failed_gates),
                    "explained_gates": list(a.explained_gates),
                    "worst": dict(a.worst),
                    "worst_probe": dict(a.worst_probe),
                    "total": dict(a.total),
                    "psnr_picture": a.psnr_picture,
                    "per_input": [dict(row) for row in a.per_input],
                    **({} if a.host is None else {"host": dataclasses.asdict(a.host)}),
                }
                for a in self.artifacts
            ],
        }


def statistics(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the metrics by statistic and name, as gates use them."""
    photographs, generated = (_numbers(rows, kind) for kind in (PHOTOGRAPH, PROBE))
    return {
        "worst": worst(photographs),
        "worst_probe": worst(generated),
        "total": total(photographs),
    }


def failed_gates(
    judgements: Iterable[Judgement],
    rows: Sequence[Mapping[str, Any]] = (),
    names: Callable[[str, str, float], bool] = lambda *_: True,
) -> Iterator[str]:
    """Yield a line for every gate that does not hold; the first line names the fault best.

    Metrics that explain the error come first. Among them, metrics of one kind of fault come before
    metrics of any difference. Metrics that fail only along with another come last.

    Args:
        judgements: Gates that were checked, of :func:`edgeexpo.parity.judgement.judged`.
        rows: The metrics of every picture, to name the picture in a line.
        names: Function that tells whether a metric explains the error, given the metric's name, the
            picture's name and the value.
    """
    order = list(ALL)
    lines = []
    for judgement in judgements:
        if judgement.holds:
            continue
        gate, key = judgement.gate, judgement.key
        pictures = _pictures(judgement, rows)
        if gate.statistic == "total":
            pictures = _most(rows, key)
        along = bool(pictures) and not names(gate.metric, pictures[0], judgement.value)
        lines.append((along, order.index(gate.metric), gate_line(judgement, rows)))
    # Lines of one kind stay in the order of the gates.
    yield from (line for *_, line in sorted(lines, key=lambda entry: entry[:2]))


def gate_line(judgement: Judgement, rows: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return a gate, the value found and the picture in one line."""
    gate, value = judgement.gate, judgement.value
    where = {"worst": "", "worst_probe": " on a probe", "total": " over all photographs"}
    pictures = _pictures(judgement, rows)
    picture = f" in {pictures[0]}" if pictures else ""
    words = MEANINGS.get(gate.metric, {}).get(value, "")
    return (
        f"{gate}{where[gate.statistic]}, found {value:.4g}{picture}{f' ({words})' if words else ''}"
    )


def _pictures(judgement: Judgement, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the photographs or probes that have the value of a judgement."""
    kind = KINDS.get(judgement.gate.statistic)
    return [
        r["name"] for r in rows if r["kind"] == kind and r.get(judgement.key) == judgement.value
    ]


def _most(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """Return the photograph on which a signed metric is furthest from zero."""
    having = [r for r in rows if r["kind"] == PHOTOGRAPH and key in r and key in SHIFT_METRICS]
    return [max(having, key=lambda r: abs(r[key]))["name"]] if having else []


def _numbers(rows: Sequence[Mapping[str, Any]], kind: str) -> list[dict[str, float]]:
    return [
        {k: v for k, v in row.items() if isinstance(v, float)}
        for row in rows
        if row["kind"] == kind
    ]
