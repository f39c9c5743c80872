"""What the pages of the documentation hold: links, anchors and blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
"""A link or a picture, with its target."""

OPENING = re.compile(r"^```(?P<language>\w*)\s*(?:title=\"(?P<title>[^\"]*)\")?\s*$")
"""First line of a block of code: its language, and its title."""


@dataclass(frozen=True)
class Block:
    """A block of code of a page.

    Attributes:
        language: The language after the fence.
        title: The title in quotes; empty without one.
        text: The lines between the fences.
        line: Number of the fence's line.
    """

    language: str
    title: str
    text: str
    line: int


def pages() -> list[Path]:
    """The README, the page for contributors and every page of the site."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    return found + sorted((ROOT / "docs").rglob("*.md"))


def split(page: Path) -> tuple[list[str], list[Block]]:
    """The lines of a page outside of blocks of code, and the blocks."""
    prose: list[str] = []
    blocks: list[Block] = []
    lines = iter(enumerate(page.read_text("utf-8").splitlines(), start=1))
    for number, line in lines:
        if not line.startswith("```"):
            prose.append(line)
            continue
        opening = OPENING.match(line)
        assert opening, f"{page}:{number}: {line!r} is no opening of a block that the tests know"
        held = []
        for _, inner in lines:
            if inner.startswith("```"):
                break
            held.append(inner)
        text = "\n".join(held) + "\n"
        blocks.append(Block(opening["language"], opening["title"] or "", text, number))
    return prose, blocks


def links(page: Path) -> list[str]:
    """Targets of the links and pictures of a page that lead to files of the repository."""
    prose, _ = split(page)
    text = re.sub(r"`[^`]*`", "", "\n".join(prose))
    return [t for t in LINK.findall(text) if not re.match(r"[a-z]+:", t)]


def anchors(page: Path) -> set[str]:
    """Names that a link may end in: the headings of a page."""
    headings = (line.lstrip("#").strip() for line in split(page)[0] if re.match(r"#+ ", line))
    return {_slug(heading) for heading in headings}


def _slug(heading: str) -> str:
    plain = re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower()
    return re.sub(r"\s", "-", plain)


def commands(block: Block) -> Iterator[str]:
    """The commands of a shell block that call edgeexpo, without comments."""
    for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
        for part in re.split(r"&&|\s>\s", line.split(" #")[0]):
            if re.match(r"(\S*/)?edgeexpo\s", part.strip()):
                yield part.strip()
