"""Arguments that several verbs share. Their errors suggest the nearest valid name."""

from __future__ import annotations

import argparse
import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from edgeexpo.errors import UsageError
from edgeexpo.spec import PRECISIONS
from edgeexpo.targets import runners, target_names

MOST_THREADS = 1024
"""Largest number of threads that a verb takes. The system refuses to start very many."""

LARGEST_SEED = 2**31 - 1
"""Largest seed that a verb takes."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises :class:`UsageError` and suggests the nearest choice."""

    def error(self, message: str) -> NoReturn:
        """Raise a :class:`UsageError` instead of printing the usage and ending the process."""
        raise UsageError(f"{message} (see: {self.prog} --help)")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(c) for c in action.choices]
            raise argparse.ArgumentError(action, unknown_name(str(value), names))


def unknown_name(value: str, known: Iterable[str], kind: str = "") -> str:
    """Write the message for an unknown name: the name, the known names and the nearest of them.

    Args:
        value: The name that was given.
        known: The names that are accepted.
        kind: The noun for such a name, as in ``verb``.
    """
    names = list(known)
    by_case = {n.lower(): n for n in names}
    near = difflib.get_close_matches(value.lower(), list(by_case), n=1)
    hint = f"; did you mean {by_case[near[0]]!r}?" if near else ""
    what = f"unknown {kind} {value!r}" if kind else f"unknown {value!r}"
    return f"{what}, expected one of {', '.join(names)}{hint}"


def one_of(known: Sequence[str]) -> Callable[[str], str]:
    """Return an argument type that accepts one name of ``known``."""

    def parse(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(unknown_name(text, known))
        return text

    return parse


def list_of(
    known: Sequence[str], groups: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> Callable[[str], tuple[str, ...]]:
    """Return an argument type that accepts a list of names, separated by commas.

    The parsed names keep the order in which they were typed, and a repeated name counts once.

    Args:
        known: The names that are accepted.
        groups: Names that stand for several known names, as ``all`` stands for several targets.
    """

    def parse(text: str) -> tuple[str, ...]:
        names = [n.strip() for n in text.split(",") if n.strip()]
        if not names:
            raise argparse.ArgumentTypeError(f"expected one of {', '.join(known)}, found nothing")
        for name in names:
            if name not in known and name not in groups:
                raise argparse.ArgumentTypeError(unknown_name(name, [*known, *groups]))
        return tuple(dict.fromkeys(n for name in names for n in groups.get(name, (name,))))

    return parse


def size(text: str) -> tuple[int, int]:
    """Parse a size ``H,W`` (or ``HxW``) in pixels."""
    parts = text.lower().replace("x", ",").split(",")
    if len(parts) != 2 or not all(p.strip().isdecimal() and int(p) > 0 for p in parts):
        raise argparse.ArgumentTypeError(f"expected H,W in pixels, as in 512,512; found {text!r}")
    return int(parts[0]), int(parts[1])


def value_range(text: str) -> tuple[float, float]:
    """Parse a range of values ``LOW,HIGH``."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected LOW,HIGH, as in =-1,1 or 0,255; found {text!r}"
        ) from error
    if not low < high < float("inf") or low == -float("inf"):
        raise argparse.ArgumentTypeError(f"expected LOW below HIGH, both finite; found {text!r}")
    return low, high


def positive(text: str) -> int:
    """Parse a whole number above zero."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above zero, found {text!r}")
    return int(text)


def whole_number(text: str) -> int:
    """Parse a whole number of zero or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number, found {text!r}")
    return int(text)


def thread_count(text: str) -> int:
    """Parse a number of threads, from 1 to :data:`MOST_THREADS`."""
    return _at_most(MOST_THREADS, positive(text), "threads")


def seed(text: str) -> int:
    """Parse a seed, from 0 to :data:`LARGEST_SEED`."""
    return _at_most(LARGEST_SEED, whole_number(text), "as a seed")


def _at_most(most: int, found: int, noun: str) -> int:
    if found > most:
        raise argparse.ArgumentTypeError(f"expected at most {most} {noun}, found {found}")
    return found


def local_path(text: str) -> Path:
    """Return the path of a file, and refuse an address as of the web."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text):
        raise argparse.ArgumentTypeError(
            f"{text} is an address; expected a file on this machine: download it first"
        )
    return Path(text)


def number_argument(accepts: Callable[[float], bool], expected: str) -> Callable[[str], float]:
    """Return an argument type that accepts some numbers.

    Args:
        accepts: Tells whether a number is accepted. It must return false for NaN, which stands
            for a text that is not a number.
        expected: The accepted numbers in words, for the error message.
    """

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not accepts(value):
            raise argparse.ArgumentTypeError(f"expected {expected}; found {text!r}")
        return value

    return parse


above_zero = number_argument(lambda v: 0 < v < math.inf, "a number above zero")
"""Argument type of a finite number above zero."""

zero_or_more = number_argument(lambda v: 0 <= v < math.inf, "a number of zero or more")
"""Argument type of a finite number of zero or more."""

RECIPE_TYPES: Mapping[str, Callable[[str], float]] = MappingProxyType(
    {"learning_rate": above_zero, "seed": seed}
)
"""Argument types of a training recipe's fields. The others are whole numbers above zero."""


def add_recipe_fields(parser: argparse.ArgumentParser, fields: Iterable[str], text: str) -> None:
    """Add an option for each field of a training recipe that it replaces."""
    for name in fields:
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=RECIPE_TYPES.get(name, positive), help=text)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add ``--target`` and ``--precision``, which select an artefact of a bundle."""
    names = target_names()
    parser.add_argument("--target", type=one_of(names), help=f"artefact to use: {', '.join(names)}")
    parser.add_argument(
        "--precision", type=one_of(PRECISIONS), help="artefact to use: int8, a16w8, fp16 or fp32"
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add ``--engine``, which chooses the engine that runs the artefacts."""
    names = [runner.name for runner in runners()]
    parser.add_argument(
        "--engine",
        type=one_of(names),
        help=f"engine that runs the artefact, instead of the target's own: {', '.join(names)}",
    )


def add_on(parser: argparse.ArgumentParser, several: bool) -> None:
    """Add ``--on``, which names other machines that run the artefacts.

    Args:
        parser: The verb's parser.
        several: True if the option may be repeated. Its value is then a list.
    """
    more = "; repeat the option for each machine, here is this one" if several else ""
    parser.add_argument(
        "--on",
        metavar="ssh://USER@HOST",
        type=machine_address(several),
        help=f"run on another machine, which ssh reaches without a question{more}. A port and the "
        "path of a Python may follow, as in ssh://pi@camera:22/home/pi/venv/bin/python",
        action="append" if several else "store",
        default=[] if several else None,
    )


def machine_address(here: bool) -> Callable[[str], str]:
    """Return an argument type that accepts addresses of other machines.

    Args:
        here: True if the word ``here`` is accepted, too.
    """

    def parse(text: str) -> str:
        from edgeexpo.remote.address import Address

        if here and text == "here":
            return text
        try:
            Address.parse(text)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return text

    return parse


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add ``--input``, which describes an input of a module from outside the zoo."""
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=1x3xHxW",
        help="an input of a network of your own; repeat the option for each input",
    )


def add_weights_key(parser: argparse.ArgumentParser) -> None:
    """Add ``--weights-key``, which chooses among the weights that ``--weights`` holds."""
    parser.add_argument(
        "--weights-key",
        metavar="KEY",
        help="key or prefix of the weights in a file that holds several, as in params (default: "
        "the averaged ones, as in params_ema)",
    )


def add_own_output(parser: argparse.ArgumentParser) -> None:
    """Add what a network from outside the zoo gives: its picture, the range and the use."""
    parser.add_argument(
        "--output-name",
        metavar="NAME",
        help="the picture among several outputs of your network: a key, a field, or a place "
        "counted from 0 (default: the only picture)",
    )
    parser.add_argument(
        "--output-range",
        type=value_range,
        metavar="LOW,HIGH",
        help="values of your network's output that are black and white, as in =-1,1 or 0,255 "
        "(default: measured)",
    )
    parser.add_argument(
        "--apply-at-full-size",
        action="store_true",
        help="your network changes tone and looks at the whole picture: it sees a small copy, and "
        "the result is applied at full size",
    )
    parser.add_argument(
        "--full-size-form",
        choices=("render", "guided", "fusion"),
        help="how a small result is applied at full size; lrl takes render or fusion, others "
        "render or guided (default: the network's own form, guided for yours)",
    )


def default_file(model: str, ending: str) -> Path:
    """Return the default file of a verb: ``NAME.ending`` in the working directory.

    ``NAME`` is that of the network, or of the file of a network of the user's own.
    """
    from edgeexpo.models.names import file_stem, is_foreign
    from edgeexpo.models.zoo import preset_of

    name = file_stem(model) if is_foreign(model) else preset_of(model)
    return Path(f"{name}.{ending}")


def add_imitation(parser: argparse.ArgumentParser) -> None:
    """Add the options for the training of a compressed network: folders, device and threads."""
    parser.add_argument(
        "--run",
        type=Path,
        metavar="DIR",
        help="folder of the training run; a training that was stopped goes on from here",
    )
    parser.add_argument(
        "--scenes-dir",
        type=Path,
        help="folder of the rendered scenes, which runs can share (default: in the run's folder)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda... (default: auto)")
    parser.add_argument(
        "--threads", type=thread_count, help="CPU threads (default: torch's choice)"
    )
