"""Print a Markdown table with some rows for each network: the command of several benchmarks."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterable, Sequence

import torch

from edgeexpo.progress import track


def print_rows(
    usage: str | None,
    header: Sequence[str],
    rows: Callable[[str], Iterable[str]],
    default: Sequence[str],
) -> None:
    """Print the rows of the networks that the command line names, each as it is made.

    Args:
        usage: The description in ``--help``.
        header: The column headings.
        rows: Function from a network's name to lines of the table.
        default: Networks if the command line names none.
    """
    parser = argparse.ArgumentParser(
        description=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names or default
    warnings.simplefilter("ignore")
    print(f"| {' | '.join(header)} |")
    print("|" + "---|" * len(header))
    with torch.no_grad():
        for name in track(names, "Quantising"):
            for row in rows(name):
                print(row, flush=True)
