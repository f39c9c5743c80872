"""Print every sentence that is too long in the README, the guides and the references.

    python scripts/sentences.py [--most WORDS] [FILE ...]

A cell of a table, an item of a list and a paragraph each hold sentences of their own. Code in a
fence does not count; code inside a line counts as one word. The exit code is 1 when a sentence is
too long.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

MOST_WORDS = 30
"""Largest number of words that a sentence may have; 25 is the aim."""

PAGES = ("README.md", "CONTRIBUTING.md", "docs/*.md", "docs/guides/*.md", "docs/reference/*.md")
"""Patterns of the files that are checked by default."""

FENCE = re.compile(r"^\s*(```|~~~)")
"""First line, and last, of a block of code."""

ITEM = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+")
"""Start of an item of a list."""

SENTENCE_END = re.compile(r"(?<=[.!?:])[)*_\"']*\s+(?=[A-Z`\"'(*\[])")
"""Space between two sentences; a colon ends one when a capital follows."""


def units(text: str) -> Iterator[tuple[int, str]]:
    """Paragraphs, items, cells and headings of a Markdown text, with their first line numbers."""
    code, start, held = False, 0, ""
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        if FENCE.match(line):
            code = not code
            line = ""
        elif code:
            continue
        apart = not line.strip() or line.startswith(("#", "|", "<!--")) or bool(ITEM.match(line))
        if apart and held:
            yield start, held
            held = ""
        if line.startswith("|"):
            yield from ((number, cell) for cell in re.split(r"(?<!\\)\|", line) if cell.strip())
        elif line.startswith("#"):
            yield number, line.lstrip("# ")
        elif line.strip() and not line.startswith("<!--"):
            start = start if held else number
            held = f"{held} {ITEM.sub('', line).strip()}".strip()


def plain(text: str) -> str:
    """``text`` without markup: code is one word, a link is its text, a picture is left out."""
    text = re.sub(r"`[^`]+`", "Code", text)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"[*_#]", "", text)


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Sentences of a Markdown text, with the line on which their paragraph starts."""
    for number, unit in units(text):
        for sentence in SENTENCE_END.split(plain(unit)):
            if sentence.strip():
                yield number, sentence.strip()


def words(sentence: str) -> int:
    """Number of words: runs that hold a letter or a digit."""
    return sum(bool(re.search(r"\w", word)) for word in sentence.split())


def too_long(files: Iterable[Path], most: int = MOST_WORDS) -> list[str]:
    """A line for every sentence of ``files`` with more than ``most`` words."""
    found = []
    for file in files:
        for number, sentence in sentences(file.read_text("utf-8")):
            if words(sentence) > most:
                found.append(f"{file.relative_to(ROOT)}:{number}: {words(sentence)}: {sentence}")
    return found


def pages() -> list[Path]:
    """The files that are checked by default."""
    return sorted(file for pattern in PAGES for file in ROOT.glob(pattern))


def main() -> int:
    """Print the sentences that are too long."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--most", type=int, default=MOST_WORDS)
    args = parser.parse_args()
    found = too_long([file.resolve() for file in args.files] or pages(), args.most)
    for line in found:
        print(line)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
