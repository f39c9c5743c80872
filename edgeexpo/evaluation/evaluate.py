"""Evaluation of networks and baselines over a folder, in rows of scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeexpo.evaluation.baselines import Y0, baselines
from edgeexpo.evaluation.looks.report import LooksReport
from edgeexpo.evaluation.metrics import NAMES, Measure
from edgeexpo.evaluation.predict import Contestant
from edgeexpo.evaluation.scene import EXPOSURE_TRUTHS, Scene
from edgeexpo.imaging.arrays import Picture
from edgeexpo.progress import track
from edgeexpo.short_repr import short_repr

EvaluationRow = dict[str, Any]
"""One row of scores and labels by name."""

Writer = Callable[[Scene, str, Picture], None]
"""A function that takes a scene, the label of a model and its picture, HxWx3 float."""


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        rows: One row for each model, precision and dataset, baselines included. A row contains the
            means of every metric over ``n`` scenes, with ``None`` for a metric that does not apply.
        scenes: One row for each scene, model and precision.
        gains: For interpolation, the improvement of the network over y0, by :func:`gains`.
        spread: For correction, the spread of the pictures of one subject, by
            :func:`spread_of_rows`.
        skipped: Files that could not be read.
        looks: One report for each network that was judged by looks. There are no rows then.
    """

    rows: list[EvaluationRow]
    scenes: list[EvaluationRow]
    gains: list[EvaluationRow] = field(default_factory=list)
    spread: list[EvaluationRow] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    looks: list[LooksReport] = field(default_factory=list)

    def __repr__(self) -> str:
        if self.looks:
            return short_repr(
                f"Evaluation: looks of {len(self.looks)} networks", [repr(r) for r in self.looks]
            )
        return short_repr(
            f"Evaluation: {len(self.scenes)} rows of scenes, {len(self.skipped)} files skipped",
            [_in_short(row) for row in self.rows],
        )


def _in_short(row: EvaluationRow) -> str:
    what = row["model"] if row["target"] is None else f"{row['model']} {row['precision']}"
    scores = [f"{name} {row[name]:.4g}" for name in NAMES if row[name] is not None]
    return f"{row['dataset']}, {what} (n={row['n']}): {', '.join(scores[:4])}"


def measure_scenes(
    opened: Sequence[Contestant],
    scenes: Iterable[Scene],
    *,
    noise: float = 0.0,
    with_baselines: bool = True,
    write: Writer | None = None,
) -> list[EvaluationRow]:
    """Measure networks, and the baselines without a network, on scenes.

    Args:
        opened: Networks to measure.
        scenes: Frames and truths.
        noise: Standard deviation of Gaussian noise on the frames, in 8-bit codes.
        with_baselines: True to measure the baselines too.
        write: Function that is called with every picture: scene, label of the model, HxWx3 float.

    Returns:
        One row for each network and scene.
    """
    rows = []
    for clean in track(scenes, "Evaluating"):
        scene = clean.with_noise(noise) if noise else clean
        rows += _measured(scene, opened, with_baselines, write)
    return rows


def evaluated(rows: list[EvaluationRow], skipped: Sequence[str]) -> Evaluation:
    """Sum the rows of scenes up.

    Args:
        rows: Of :func:`measure_scenes`.
        skipped: Files that could not be read.
    """
    return Evaluation(summary(rows), rows, gains(rows), spread_of_rows(rows), list(skipped))


def _measured(
    scene: Scene, opened: Sequence[Contestant], with_baselines: bool, write: Writer | None
) -> list[EvaluationRow]:
    rows, measure = [], Measure(scene)
    for candidate in opened:
        measured, shown = candidate(scene)
        rows.append(_row(scene, candidate.model, candidate, shown, measure(measured, shown)))
        if write is not None:
            write(scene, f"{candidate.model}.{candidate.target}.{candidate.precision}", shown)
    if with_baselines:
        for name, picture in baselines(scene).items():
            rows.append(_row(scene, name, None, picture, measure(picture, picture)))
            if write is not None:
                write(scene, name, picture)
    return rows


def _row(
    scene: Scene, model: str, candidate: Contestant | None, shown: Picture, scores: dict[str, float]
) -> EvaluationRow:
    return {
        "model": model,
        "precision": None if candidate is None else candidate.precision,
        "target": None if candidate is None else candidate.target,
        "scene": scene.name,
        "datasets": scene.groups,
        "truth": scene.truth_kind,
        "subject": scene.subject,
        "mean_level": float(np.clip(shown, 0, 1).mean()),
        **{name: scores.get(name) for name in NAMES},
    }


def summary(rows: Iterable[EvaluationRow]) -> list[EvaluationRow]:
    """Average the scores over the scenes of every dataset, for each model, target and precision."""
    grouped: dict[tuple[Any, ...], list[EvaluationRow]] = {}
    order: dict[str, None] = {}
    for row in rows:
        for dataset in row["datasets"]:
            order.setdefault(dataset)
            key = (dataset, row["model"], row["precision"], row["target"])
            grouped.setdefault(key, []).append(row)
    result = []
    for wanted in order:
        for (dataset, model, precision, target), members in grouped.items():
            if dataset == wanted:
                head = {"model": model, "precision": precision, "target": target}
                means = {name: _mean([m[name] for m in members]) for name in NAMES}
                result.append({**head, "dataset": dataset, "n": len(members), **means})
    return result


def gains(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    """Return the improvement of each network over y0, in dB of PSNR.

    Only scenes whose truth is the middle frame or the middle exposure count.

    Returns:
        One row for each network and each y0 (``over``). ``mean`` and ``worst`` are taken over the
        scenes. ``worst_tenth`` is the mean over the tenth of the scenes on which y0 is worst.
    """
    scores: dict[tuple[Any, ...], dict[str, float]] = {}
    for row in rows:
        if row["truth"] in EXPOSURE_TRUTHS:
            key = (row["model"], row["precision"], row["target"])
            scores.setdefault(key, {})[row["scene"]] = row["psnr"]
    bases = {name: scores[name, None, None] for name in Y0 if (name, None, None) in scores}
    return [
        _gain(key, over, own, base)
        for key, own in scores.items()
        if key[2] is not None
        for over, base in bases.items()
    ]


def _gain(
    key: tuple[Any, ...], over: str, own: dict[str, float], base: dict[str, float]
) -> EvaluationRow:
    hardest = sorted(own, key=lambda scene: base[scene])[: -(-len(own) // 10)]
    gained = {scene: own[scene] - base[scene] for scene in own}
    return {
        **dict(zip(("model", "precision", "target"), key, strict=True)),
        "over": over,
        "n": len(gained),
        "mean": float(np.mean(list(gained.values()))),
        "worst": min(gained.values()),
        "worst_tenth": float(np.mean([gained[scene] for scene in hardest])),
    }


def spread_of_rows(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    """Measure how much each model's pictures of one subject differ between exposures.

    Returns:
        One row for each model, precision and target, over ``n`` subjects. ``psnr`` is the standard
        deviation of PSNR over the exposures, in dB, averaged over the subjects. ``mean_level`` is
        the standard deviation of the picture's mean, in units of [0, 1], averaged likewise. Both
        are 0 when the exposure does not matter.
    """
    grouped: dict[tuple[Any, ...], dict[str, list[EvaluationRow]]] = {}
    for row in rows:
        if row["subject"]:
            key = (row["model"], row["precision"], row["target"])
            grouped.setdefault(key, {}).setdefault(row["subject"], []).append(row)
    return [
        {
            "model": model,
            "precision": precision,
            "target": target,
            "n": len(subjects),
            **{
                name: float(np.mean([np.std([r[name] for r in s]) for s in subjects.values()]))
                for name in ("psnr", "mean_level")
            },
        }
        for (model, precision, target), subjects in grouped.items()
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
