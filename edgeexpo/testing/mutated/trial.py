"""Draw a mutated command line with its mutated files from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeexpo.bundle.manifest import MANIFEST
from edgeexpo.testing.mutated.arguments import Flags, mutate_words
from edgeexpo.testing.mutated.commands import COMMANDS, SOON, Command
from edgeexpo.testing.mutated.damage import Random, pick
from edgeexpo.testing.mutated.files import mutate_file

PLANS = (
    ("words",),
    ("words",),
    ("words", "words"),
    *(("file",),) * 5,
    ("file", "file"),
    ("file", "words"),
)
"""Mutations that one trial makes, in order."""


_UNREAD = ("report.html",)
"""Names of files in a bundle that no command reads."""


@dataclass(frozen=True)
class Trial:
    """A mutated command.

    Attributes:
        seed: Seed that it was drawn from.
        origin: The valid command line.
        words: The words after ``edgeexpo``.
        changes: What was mutated, in words.
    """

    seed: int
    origin: str
    words: tuple[str, ...]
    changes: tuple[str, ...]


def draw_trial(seed: int, workplace: Path, flags: Flags) -> Trial:
    """Draw a command, mutate it, and mutate the files that it reads.

    Args:
        seed: Seed of all choices.
        workplace: A copy of the workplace, in which files are mutated.
        flags: Options of all verbs, each with whether it takes a value.
    """
    random = np.random.default_rng(seed)
    command = _command(random)
    words, changes = command.words, []
    paths = sorted(p.relative_to(workplace).as_posix() for p in workplace.glob("*"))
    for kind in pick(random, PLANS):
        files = _files(command, workplace)
        if kind == "file" and files:
            changes.append(mutate_file(pick(random, files), workplace, random))
        else:
            words, said = mutate_words(words, random, flags, SOON, paths)
            changes.append(said)
    return Trial(seed, command.line, tuple(words), tuple(changes))


def _command(random: Random) -> Command:
    weights = np.array([command.weight for command in COMMANDS])
    return COMMANDS[int(random.choice(len(COMMANDS), p=weights / weights.sum()))]


def _files(command: Command, workplace: Path) -> Sequence[Path]:
    """Return the files that a command reads: those that it names, and those in named folders.

    A file that is named is as likely as all files of a folder together. In a bundle, the manifest
    is as likely as all other files together.
    """
    named = [workplace / word.partition(":")[0] for word in (*command.words[1:], *command.reads)]
    files = []
    for path in dict.fromkeys(named):
        if path.is_file():
            files.append([path])
        elif path.is_dir() and path != workplace:
            inner = [p for p in sorted(path.rglob("*")) if p.is_file() and p.name not in _UNREAD]
            files.append(inner + [p for p in inner if p.name == MANIFEST] * len(inner))
    most = max(map(len, files), default=0)
    return [path for group in files for path in group * (most // max(len(group), 1))]
