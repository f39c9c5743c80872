"""Drawings of the sensitivity table and of the Pareto front, as PNG."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgeexpo.errors import MissingDependencyError
from edgeexpo.workflows.sensitivity_table import SensitivityTable
from edgeexpo.writing import write_file


def draw_sensitivity(path: Path, found: SensitivityTable) -> None:
    """Draw a bar for every operator, the costliest operator on top.

    A bar shows the PSNR in dB of the worst picture against the float network.

    Args:
        path: PNG to write.
        found: The table.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    rows = found.layers[::-1]
    figure = _figure(0.6 + 0.35 * max(6, len(rows)))
    axes = figure.add_subplot()
    names = [f"{row.sensitivity.operator.name}  {row.sensitivity.operator.module}" for row in rows]
    places = range(len(rows))
    axes.barh(places, [r.sensitivity.alone.worst for r in rows], 0.4, label="quantised alone")
    pruned = [(p - 0.4, r.pruned.worst) for p, r in zip(places, rows, strict=True) if r.pruned]
    if pruned:
        axes.barh([p for p, _ in pruned], [v for _, v in pruned], 0.4, label="pruned alone")
    axes.axvline(found.everything.worst, color="black", linestyle=":", label="all quantised")
    axes.set_yticks(list(places), names, fontsize=8)
    axes.set(xlabel="PSNR against float, worst picture (dB); short bars are costly layers")
    axes.set_title(found.model)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    _write(figure, path)


def draw_front(path: Path, title: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Draw the quality of candidates against their latency.

    The area of a point follows the candidate's size in bytes. A line joins the front, and a ring
    marks the winner. The points are numbered from the fastest, and a legend explains the numbers.

    Args:
        path: PNG to write.
        title: Network, target and size.
        rows: One mapping for each candidate, with the keys ``label``, ``psnr`` (dB, worst picture),
            ``ms``, ``bytes``, ``front`` and ``winner``.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    shown = sorted(rows, key=lambda row: row["ms"])
    figure = _figure(4.5 + 0.17 * len(shown))
    axes = figure.add_subplot()
    largest = max(row["bytes"] for row in shown)
    for number, row in enumerate(shown, start=1):
        color = "tab:blue" if row["front"] else "0.7"
        axes.scatter(
            row["ms"],
            row["psnr"],
            30 + 120 * row["bytes"] / largest,
            color=color,
            label=f"{number}  {row['label']}",
        )
        if row["winner"]:
            axes.scatter(row["ms"], row["psnr"], 320, facecolors="none", edgecolors="tab:red")
        axes.annotate(
            str(number),
            (row["ms"], row["psnr"]),
            fontsize=8,
            xytext=(6, 6),
            textcoords="offset points",
        )
    front = [row for row in shown if row["front"]]
    axes.plot([r["ms"] for r in front], [r["psnr"] for r in front], color="tab:blue", alpha=0.4)
    axes.set(xlabel="latency, median (ms)", ylabel="PSNR against float, worst photograph (dB)")
    axes.set_title(f"{title}; area is bytes", fontsize=9)
    axes.grid(alpha=0.3)
    figure.legend(fontsize=7, loc="outside lower left", frameon=False, handlelength=1)
    _write(figure, path)


def _write(figure: Any, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_file(path, buffer.getvalue())


def _figure(height: float) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "plots are drawn by matplotlib, which is not installed; pip install 'edgeexpo[train]'"
        ) from error
    figure = Figure(figsize=(8, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
