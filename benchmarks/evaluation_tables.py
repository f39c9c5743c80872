"""Print Markdown tables from the output of ``edgeexpo evaluate --json``.

    edgeexpo evaluate kdfusion --data BRACKETS --per-scene --json > kdfusion.json
    python benchmarks/evaluation_tables.py kdfusion.json [MORE.json ...] [--scenes psnr]

There is one table for each dataset, with the rows of all files together. With ``--scenes METRIC``
there is one table of that metric, with a row for each scene and a column for each model.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

METRICS = (
    "psnr",
    "ssim",
    "ms_ssim",
    "vif",
    "delta_e",
    "mef_ssim",
    "mef_ssim_inputs",
    "pu21_psnr",
    "clipped_log_error",
)
"""Metrics that are columns of the tables, in this order."""

Row = dict[str, Any]
"""One row of ``edgeexpo evaluate --json``."""


def tables(rows: list[Row]) -> list[str]:
    """Return the lines of one table for each dataset, in the order of the rows."""
    lines = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        members = [row for row in rows if row["dataset"] == dataset]
        shown = [m for m in METRICS if any(row.get(m) is not None for row in members)]
        lines += ["", f"{dataset}, {members[0]['n']} scenes:", ""]
        lines += [f"| model | {' | '.join(shown)} |", f"|---|{'---|' * len(shown)}"]
        for row in members:
            name = " ".join(str(row[k]) for k in ("model", "precision", "target") if row.get(k))
            lines.append(f"| {name} | {' | '.join(number(row.get(m)) for m in shown)} |")
    return lines


def scenes(rows: list[Row], metric: str) -> list[str]:
    """Return the lines of a table with a row for each scene and a column for each model."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    values = {(row["scene"], row["model"]): row.get(metric) for row in rows}
    lines = [f"| {metric} | {' | '.join(models)} |", f"|---|{'---|' * len(models)}"]
    for scene in dict.fromkeys(row["scene"] for row in rows):
        cells = [number(values.get((scene, model))) for model in models]
        lines.append(f"| {scene} | {' | '.join(cells)} |")
    return lines


def number(value: float | None) -> str:
    """Format a number with two decimals from 10 on and three below; ``-`` for a missing number."""
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--scenes", metavar="METRIC")
    args = parser.parse_args()
    documents = [json.loads(path.read_text("utf-8")) for path in args.files]
    if args.scenes:
        lines = scenes([row for d in documents for row in d["scenes"]], args.scenes)
    else:
        lines = tables([row for d in documents for row in d["rows"]])
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
