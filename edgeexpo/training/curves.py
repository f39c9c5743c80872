"""Learning curves as CSV and PNG."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeexpo.errors import MissingDependencyError


def write_curves(
    folder: Path,
    curve: Sequence[tuple[int, float, float]],
    validated: Sequence[tuple[int, float]],
) -> None:
    """Write ``curve.csv`` (step, loss, learning rate, validation loss) and ``curve.png``.

    Args:
        folder: Folder of the two files.
        curve: Step, loss and learning rate of every step.
        validated: Step and validation loss of every validation.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    checks = dict(validated)
    partial = folder / "curve.partial"
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "loss", "learning_rate", "validation_loss"])
        writer.writerows([*row, checks.get(row[0] + 1, "")] for row in curve)
    partial.replace(folder / "curve.csv")
    _draw(folder / "curve.png", curve, validated)


def _draw(
    path: Path,
    curve: Sequence[tuple[int, float, float]],
    validated: Sequence[tuple[int, float]],
) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "learning curves are drawn by matplotlib, which is not installed; "
            "pip install 'edgeexpo[train]'"
        ) from error
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    losses = np.array([row[1] for row in curve])
    window = max(1, len(losses) // 100)
    kept = len(losses) // window * window
    smooth = losses[:kept].reshape(-1, window).mean(axis=1)
    axes.plot(np.arange(len(smooth)) * window, smooth, label=f"training (mean of {window} steps)")
    axes.plot(*zip(*validated, strict=True), marker=".", label="validation, mean weights")
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)
