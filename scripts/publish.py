"""Put a finished training run into the package: weights in fp16, a JSON and a Markdown card.

    python scripts/publish.py RUN [--figures EVALUATE.json ...] [--note TEXT]
    python scripts/publish.py NAME --figures EVALUATE.json ...

``RUN`` is the folder of ``edgeexpo train``. ``NAME`` is a network that ships, whose cards get other
figures in the rows that were measured again. Each ``--figures`` file is the output of ``edgeexpo
evaluate NAME --data DIR --json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from edgeexpo.models import zoo
from edgeexpo.training.synthesis import HELD_OUT

TRAINED_ON = (
    "radiance maps of Poly Haven (CC0) and photographs (free desktop backgrounds), as seen by a "
    "simulated camera"
)
"""Description of the training data in the JSON card."""

DATA = f"""\
Equirectangular radiance maps of Poly Haven (CC0) and HDRI Haven's of blender-data (CC0), and free
desktop backgrounds (MATE, GPL-2+; Lomiri, CC BY, CC BY-SA and CC0; Plasma, LGPL-3; Pop!_OS, public
domain). Never trained on: the maps `{" ".join(HELD_OUT)}` and one photograph in five
(`edgeexpo.training.scenes.held_out_photograph`)."""
"""Description of the training data in the Markdown card."""

METRICS = (
    "psnr",
    "ssim",
    "ms_ssim",
    "vif",
    "mef_ssim",
    "delta_e",
    "pu21_psnr",
    "clipped_log_error",
)
"""Metrics that are columns of the card's table."""


def publish(run: Path, figures: list[Path], note: str) -> Path:
    """Write ``NAME.safetensors``, ``.json`` and ``.md`` into the folder of the other weights."""
    facts = json.loads((run / "training.json").read_text("utf-8"))
    name = facts["preset"]
    state = load_file(run / f"{name}.safetensors")
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    if not all(bool(torch.isfinite(v).all()) for v in halves.values()):
        raise SystemExit(f"{name}: a weight does not fit into fp16")
    target = zoo.WEIGHTS / f"{name}.safetensors"
    save_file(halves, target)
    target.chmod(0o644)
    rows = read_rows(figures)
    summary = {
        "trained_on": TRAINED_ON,
        "licence": "Apache-2.0",
        "seed": facts["seed"],
        "steps": facts["done"],
        "seconds": facts["seconds"],
        "recipe": {k: v for k, v in facts.items() if k not in ("done", "seconds", "device")},
        "figures": rows,
    }
    target.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    target.with_suffix(".md").write_text(card(name, facts, rows, note), "utf-8")
    return target


def renew(name: str, figures: list[Path]) -> Path:
    """Write other figures into the cards of a network that ships.

    Rows of other methods, and of data that was not measured again, stay.
    """
    target = zoo.WEIGHTS / f"{zoo.get(name).name}.json"
    summary = json.loads(target.read_text("utf-8"))
    made = {(row["model"], row["dataset"]): row for row in read_rows(figures)}
    known = [(row["model"], row["dataset"]) for row in summary["figures"]]
    if not made.keys() <= set(known):
        raise SystemExit(f"{target} has no rows {sorted(made.keys() - set(known))}")
    rows = [made.get(key, row) for key, row in zip(known, summary["figures"], strict=True)]
    before = "\n".join(table(summary["figures"]))
    text = target.with_suffix(".md").read_text("utf-8")
    if before not in text:
        raise SystemExit(f"{target.with_suffix('.md')} has other figures than {target}")
    target.with_suffix(".md").write_text(text.replace(before, "\n".join(table(rows))), "utf-8")
    target.write_text(json.dumps({**summary, "figures": rows}, indent=2) + "\n", "utf-8")
    return target


def read_rows(figures: list[Path]) -> list[dict[str, Any]]:
    """Return the rows of the outputs of ``evaluate``."""
    return [row for path in figures for row in json.loads(path.read_text("utf-8"))["rows"]]


def card(name: str, facts: dict[str, Any], rows: list[dict[str, Any]], note: str) -> str:
    """Return the model card in Markdown."""
    entry = zoo.get(name)
    parameters = sum(p.numel() for p in entry.build().parameters())
    lines = [
        *(f"# {name}", "", f"{entry.spec.task[0].upper()}{entry.spec.task[1:]}."),
        *(f"{parameters:,} parameters, stored in fp16.", "", "## Data", "", DATA, ""),
        *("## Training", "", f"    edgeexpo train {name} --data DATA", ""),
        f"Objective `{facts['objective']}`; {facts['done']} steps of {facts['batch']} crops of "
        f"{facts['crop']}x{facts['crop']} from {facts['scenes']} scenes of "
        f"{facts['scene_size']}x{facts['scene_size']}; AdamW, peak rate "
        f"{facts['learning_rate']:g}, cosine; seed {facts['seed']}; "
        f"{facts['seconds'] / 60:.0f} minutes on one CPU core that did other work too. The weights "
        "are the running mean.",
        *("", f"A full recipe would be: {facts['full']}.", ""),
        *("## Figures", "", *table(rows)),
    ]
    return "\n".join([*lines, *(["", note] if note else []), "", LICENCE, ""])


LICENCE = "Licence of the weights: Apache-2.0, as the project; the data's licences are above."


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return rows of ``evaluate`` as a Markdown table."""
    if not rows:
        return ["None yet."]
    shown = [m for m in METRICS if any(row.get(m) is not None for row in rows)]
    lines = [
        f"| model | data | n | {' | '.join(shown)} |",
        f"|---|---|---|{'---|' * len(shown)}",
    ]
    for row in rows:
        values = ["-" if (v := row.get(m)) is None else f"{v:.4g}" for m in shown]
        lines.append(f"| {row['model']} | {row['dataset']} | {row['n']} | {' | '.join(values)} |")
    return lines


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", metavar="RUN|NAME")
    parser.add_argument("--figures", type=Path, nargs="*", default=[])
    parser.add_argument("--note", default="")
    args = parser.parse_args()
    run = Path(args.run)
    made = publish(run, args.figures, args.note) if run.is_dir() else renew(args.run, args.figures)
    print(made)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
