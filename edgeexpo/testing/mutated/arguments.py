"""Mutations of the words of a command line."""

from __future__ import annotations

from collections.abc import Sequence

from edgeexpo.testing.mutated.damage import Random, pick

COSTLY = (
    "--size",
    "--input",
    "--images",
    "--calib",
    "--data",
    "--steps",
    "--batch",
    "--crop",
    "--scenes",
    "--scene-size",
    "--runs",
    "--views",
    "--candidates",
    "--method",
    "--importance",
)
"""Options without which a command would rightly take minutes. They stay, with small values."""

SMALL = ("", " ", "-1", "0", "-0", "1", "1.5", "nan", "abc", "\u0663", "1,1", "1x1", "../x", "+1")
"""Values that make no command longer."""

EXTREMES = (
    *SMALL,
    "inf",
    "-inf",
    "1e400",
    "99999999999999999999",
    "-99999999999999999999",
    "9" * 5000,
    "x" * 300,
    "y/" * 3000,
    "Ж😀",
    "\u202ereversed\u200b",
    "caf\udce9",
    "a\nb",
    "\x1b[31mred",
    "a,b",
    "a,,b,",
    "1x2x3",
    "=",
    "k=v=w",
    "%s%n",
    "{}",
    "{0.__class__}",
    "'",
    "--",
    "-",
    "*",
    "~",
    ".",
    "..",
    "/",
    "/dev/null",
    "/no/such/folder/file.png",
    "/proc/self/mem",
    "nul:",
    "C:\\x",
    "http://localhost/x.png",
    "true",
    "None",
    "[1, 2]",
)
"""Values that no option expects, or that few do."""

UNKNOWN = ("--frobnicate", "--no-such=1", "-x", "-", "--", "---", "-oo", "--=", "@file", "-1", "")
"""Words that no verb knows."""

Flags = Sequence[tuple[str, bool]]
"""Options of the verbs, each with whether it takes a value."""


def mutate_words(
    words: Sequence[str], random: Random, flags: Flags, verbs: Sequence[str], paths: Sequence[str]
) -> tuple[list[str], str]:
    """Return a command line with one change, and the change in words.

    Args:
        words: The command line, which begins with the verb.
        random: Source of all choices.
        flags: Options of all verbs, to be added.
        verbs: Verbs to put in the place of the verb, all of which end soon.
        paths: Files and folders of the workplace, to put in the place of others.
    """
    changed = list(words)
    free = [i for i in range(1, len(words)) if not _costs(words, i)]
    values = [i for i in range(1, len(words)) if words[i] not in COSTLY]
    kinds = ["insert", "flag", "verb"] + ["drop", "double", "swap"] * bool(free)
    kinds += ["value", "value", "value", "path", "path", "edit", "join"] * bool(values)
    kind = pick(random, kinds)
    at = pick(random, values) if values else 0
    if kind == "drop":
        at = pick(random, free)
        del changed[at]
        return changed, f"without {words[at]!r}"
    if kind == "double":
        at = pick(random, free)
        changed.insert(pick(random, range(1, len(words) + 1)), words[at])
        return changed, f"{words[at]!r} twice"
    if kind == "swap":
        one, two = pick(random, free), pick(random, free)
        changed[one], changed[two] = changed[two], changed[one]
        return changed, f"{words[one]!r} and {words[two]!r} swapped"
    if kind == "insert":
        word = pick(random, UNKNOWN)
        changed.insert(pick(random, range(len(words) + 1)), word)
        return changed, f"{word!r} added"
    if kind == "flag":
        flag, takes = pick(random, flags)
        added = [flag] + [pick(random, (*SMALL, *paths))] * takes
        changed += added
        return changed, f"{' '.join(added)!r} added"
    if kind == "verb":
        changed[0] = pick(random, verbs)
        return changed, f"verb {changed[0]!r}"
    if kind == "value":
        changed[at] = pick(random, SMALL if _costs(words, at) else EXTREMES)
    elif kind == "path":
        changed[at] = pick(random, paths)
    elif kind == "join":
        changed[at] = pick(random, ",=x:; ").join((words[at], words[-1]))
    else:
        changed[at] = _edited(words[at], random, shorter=_costs(words, at))
    return changed, f"{_shown(words[at])} became {_shown(changed[at])}"


def _costs(words: Sequence[str], at: int) -> bool:
    """Tell whether a word is one of :data:`COSTLY`, or the value of one."""
    return words[at] in COSTLY or words[at - 1] in COSTLY


def _edited(word: str, random: Random, shorter: bool) -> str:
    """Change some characters of a word. A number does not become larger if ``shorter``."""
    at = int(random.integers(0, len(word) + 1))
    cut = word[:at] + word[at + 1 :]
    if shorter:
        return cut
    character = pick(random, ("x", "-", ".", "=", ",", "0", " ", "/", "é", ":", "\t"))
    return pick(random, (cut, word[:at] + character + word[at:], word.upper(), word[:at]))


def _shown(word: str) -> str:
    return repr(word if len(word) <= 60 else f"{word[:60]}...")
