"""Print the cost of INT8 against ground truth, on the same scenes as the fp32 artefact.

    edgeexpo export NAME --target onnx --precision fp32,int8 -o BUNDLE
    edgeexpo evaluate BUNDLE --data DIR --no-baselines --per-scene --json > NAME.json
    python benchmarks/int8_loss.py NAME.json [MORE.json ...]

Each network has a row: scenes with a truth, PSNR in dB of fp32, the mean drop to INT8, the largest
drop on one scene, and that scene. If the truth is radiance, the metric is PU21-PSNR.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def drops(document: dict[str, Any]) -> tuple[str, list[tuple[str, float, float]]]:
    """Return the metric, and (scene, fp32, drop) for every scene that both precisions have."""
    by_precision: dict[str, dict[str, float]] = {"fp32": {}, "int8": {}}
    metric = "psnr" if any(s["psnr"] is not None for s in document["scenes"]) else "pu21_psnr"
    for scene in document["scenes"]:
        if scene["precision"] in by_precision and scene[metric] is not None:
            by_precision[scene["precision"]][scene["scene"]] = scene[metric]
    whole, integer = by_precision["fp32"], by_precision["int8"]
    return metric, [(n, whole[n], whole[n] - integer[n]) for n in whole if n in integer]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", help="what evaluate --json printed")
    print("| network | metric | scenes | fp32, dB | mean drop | largest drop | on |")
    print("|---|---|---|---|---|---|---|")
    for file in parser.parse_args().files:
        document = json.loads(file.read_text("utf-8"))
        metric, found = drops(document)
        if not found:
            raise SystemExit(f"{file} has no scene in both precisions")
        mean = sum(value for _, value, _ in found) / len(found)
        drop = sum(lost for _, _, lost in found) / len(found)
        worst = max(found, key=lambda row: row[2])
        model = document["rows"][0]["model"]
        print(
            f"| {model} | {metric} | {len(found)} | {mean:.2f} | {drop:+.3f} | "
            f"{worst[2]:+.3f} | {worst[0]} |"
        )


if __name__ == "__main__":
    main()
