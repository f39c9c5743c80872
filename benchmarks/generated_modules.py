"""Export modules drawn at random, and compare every artefact with eager torch.

    python benchmarks/generated_modules.py runs/generated.jsonl [--count 300] [--seconds 3600]

Every module is drawn by :mod:`edgeexpo.testing.generated` from its seed, 0, 1, 2 and so on. It is
exported to the usual targets in fp32 and INT8 in a process of its own, which serves the next module
too unless it died. The results are lines of the file. A seed whose result is there is left out, so
that the command can be stopped and started again. --count 0 prints the tables alone.

The first table counts the outcomes by target and precision. The second lists every bug by its seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resumable import keep, read, results, seeds_left

from edgeexpo.silence import muted
from edgeexpo.targets import usual_targets
from edgeexpo.testing.generated.module import draw_module
from edgeexpo.testing.generated.trial import BUG, OUTCOMES, PRECISIONS, Outcome, try_module

LIMIT = 1800.0
"""Seconds that one module may take."""

LONGEST = 300
"""Largest length of the words about a bug in the table, in characters."""


def result_of(seed: int) -> dict[str, Any]:
    """Draw and try one module, and return its line of the file."""
    drawn, start = draw_module(seed), time.process_time()
    with tempfile.TemporaryDirectory() as folder, muted():
        outcomes = try_module(drawn, Path(folder))
    return {
        "seed": seed,
        "side": drawn.side,
        "blocks": drawn.blocks,
        "seconds": round(time.process_time() - start, 1),
        "outcomes": [dataclasses.asdict(outcome) for outcome in outcomes],
    }


def dead(seed: int, words: str) -> dict[str, Any]:
    """Return the line for a module whose process gave no result."""
    drawn = draw_module(seed)
    pairs = [(target, precision) for target in usual_targets() for precision in PRECISIONS]
    outcomes = [dataclasses.asdict(Outcome(*pair, BUG, words)) for pair in pairs]
    return {"seed": seed, "side": drawn.side, "blocks": drawn.blocks, "outcomes": outcomes}


def print_tables(found: Sequence[dict[str, Any]]) -> None:
    """Print the outcomes by target and precision, and the bugs by seed."""
    counts = Counter(
        (o["target"], o["precision"], o["outcome"]) for f in found for o in f["outcomes"]
    )
    print(f"{len(found)} modules\n")
    print(f"| target | precision | {' | '.join(OUTCOMES)} |")
    print("|---|---|" + "---|" * len(OUTCOMES))
    for target in usual_targets():
        for precision in PRECISIONS:
            row = [str(counts[target, precision, outcome]) for outcome in OUTCOMES]
            print(f"| {target} | {precision} | {' | '.join(row)} |")
    bugs: dict[tuple[int, str], list[str]] = {}
    for f in found:
        for o in f["outcomes"]:
            if o["outcome"] == BUG:
                words = o["words"].replace("|", "/")[:LONGEST]
                bugs.setdefault((f["seed"], words), []).append(f"{o['target']} {o['precision']}")
    if bugs:
        print("\n| seed | where | bug |\n|---|---|---|")
    for (seed, words), where in bugs.items():
        print(f"| {seed} | {', '.join(where)} | {words} |")


def main() -> int:
    """Try the modules and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="results, one JSON document a line")
    parser.add_argument("--count", type=int, default=300, help="number of modules (default 300)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after them")
    args = parser.parse_args()
    wanted = seeds_left(args.file, args.first, args.count)
    for found in results(wanted, result_of, dead, LIMIT, args.seconds):
        keep(args.file, found)
        worst = Counter(o["outcome"] for o in found["outcomes"])
        said = ", ".join(f"{worst[o]} {o}" for o in OUTCOMES if worst[o])
        print(f"{found['seed']}: {said}", file=sys.stderr, flush=True)
    print_tables(read(args.file))
    return 0


if __name__ == "__main__":
    sys.exit(main())
