"""Run mutated command lines and files through the command line, and look for anything unforeseen.

    python benchmarks/mutated_commands.py runs/mutated.jsonl [--count 2000] [--seconds 3600]

Every seed draws a valid command line of :mod:`edgeexpo.testing.mutated` and mutates its words or
the files that it reads. All run in one process, which is started again only if it died. The current
folder is a fresh copy of a small workplace, which is made first, or once for all under --workplace.
The results are lines of the file. A seed whose result is there is left out, so that the command can
be stopped and started again. --count 0 prints the tables alone.

A command may succeed, be refused, fail or miss a gate, in one line and with its exit code. What
counts as a bug is listed in :func:`problems`.

The first table counts the outcomes by verb. The second lists every bug by its seed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import logging
import math
import os
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from resumable import keep, read, results, seeds_left

from edgeexpo import cli
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import MANIFEST
from edgeexpo.cli.arguments import Parser
from edgeexpo.errors import EdgeexpoError
from edgeexpo.failures import described
from edgeexpo.testing.mutated.arguments import Flags
from edgeexpo.testing.mutated.trial import Trial, draw_trial
from edgeexpo.testing.mutated.workplace import make_workplace

DONE, REFUSED, FAILED, GATE, BUG = "done", "refused", "failed", "gate", "bug"
"""Outcomes of a command: exit codes 0, 2 or 4, 1, and 3 or 5; or a bug, whatever the code."""

OUTCOMES = (DONE, REFUSED, FAILED, GATE, BUG)

BY_CODE = {0: DONE, 1: FAILED, 2: REFUSED, 3: GATE, 4: REFUSED, 5: GATE, 130: REFUSED}
"""Outcomes by exit code. 130 stands for an interruption, which a network's source may raise."""

ERROR = "edgeexpo: error: "
"""Start of an error's line."""

LIMIT = 120.0
"""Seconds of processor time that a command may take in this process."""

DEAD = 600.0
"""Seconds after which a process that does not react is ended."""

MEMORY, FILE = 6 << 30, 1 << 30
"""Bytes of address space that a command may take, and of a file that it writes."""

COLLECTED = 50
"""Number of commands between two collections of garbage, which take time."""

LONGEST = 400
"""Largest length of the words about a bug in the table, in characters."""

Files = Mapping[str, tuple[int, int]]
"""Size and time of every file, by its path, and of every folder."""


class Hang(BaseException):
    """A command took too long."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Exit code, or ``None`` if an exception escaped.
        escaped: The exception in words.
        stdout, stderr: What was printed.
        before, after: The files of the current folder.
    """

    code: int | None
    escaped: str
    stdout: str
    stderr: str
    before: Files
    after: Files


class Bench:
    """The workplace and the process's state, which every command finds as they were.

    Args:
        root: Folder for copies of the workplace and for temporary files.
        workplace: The workplace, which is made if the folder is missing.
    """

    def __init__(self, root: Path, workplace: Path) -> None:
        self._whole, self._here, self._temporary = workplace, root / "here", root / "tmp"
        self._temporary.mkdir()
        self._runs = 0
        os.environ |= {"TMPDIR": str(self._temporary), "OMP_NUM_THREADS": "1"}
        tempfile.tempdir = str(self._temporary)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, resource.RLIM_INFINITY))
        signal.signal(signal.SIGPROF, _raise_hang)
        self.flags = flags_of_verbs()
        if not workplace.is_dir():
            made = root / "made"
            made.mkdir()
            with contextlib.chdir(made):
                make_workplace(made, lambda words: cli.main(list(words)))
            shutil.copytree(made, workplace, symlinks=True)

    def run(self, seed: int) -> dict[str, Any]:
        """Run the command of a seed and return its line of the file."""
        shutil.rmtree(self._here, ignore_errors=True)
        shutil.copytree(self._whole, self._here, symlinks=True)
        trial = draw_trial(seed, self._here, self.flags)
        start = time.perf_counter()
        with _state_kept(), contextlib.chdir(self._here):
            ended = run_command(trial.words, self._temporary)
            found = problems(trial, ended)
        result = {
            "seed": seed,
            "origin": trial.origin,
            "command": shlex.join(trial.words)[:2000],
            "changes": trial.changes,
            "code": ended.code,
            "outcome": BUG if found else BY_CODE[ended.code or 0],
            "seconds": round(time.perf_counter() - start, 1),
            "words": last_line(ended.stderr)[:2000],
            "problems": found,
        }
        if ended.code in (1, 3, 5):
            result["stdout"] = ended.stdout[-2000:]
        if found:
            result |= {"stderr": ended.stderr[-4000:], "traces": _reports(self._temporary)}
        self._runs += 1
        if self._runs % COLLECTED == 0:
            gc.collect()
        for left in self._temporary.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()
        return result


def run_command(words: Sequence[str], folder: Path) -> Ended:
    """Run one command line in this process, and observe it.

    Args:
        words: The words after ``edgeexpo``.
        folder: Folder for what is printed.
    """
    before = files_here()
    code, escaped = None, ""
    with (
        tempfile.TemporaryFile(dir=folder) as out,
        tempfile.TemporaryFile(dir=folder) as err,
        _limited(),
    ):
        with _redirected(1, out.fileno()), _redirected(2, err.fileno()):
            try:
                signal.setitimer(signal.ITIMER_PROF, LIMIT)
                code = cli.main(list(words))
            except BaseException as error:  # noqa: BLE001 - nothing may escape
                escaped = described(error)
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                sys.stdout.flush()
                sys.stderr.flush()
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "replace"))
    return Ended(code, escaped, texts[0], texts[1], before, files_here())


def problems(trial: Trial, ended: Ended) -> list[str]:
    """Return in words what of a command's end is a bug."""
    found = []
    if ended.escaped:
        found.append(f"{ended.escaped} escaped")
    elif ended.code not in BY_CODE:
        found.append(f"exit code {ended.code}")
    if "Hang" in ended.stderr:
        found.append(f"no end within {LIMIT:.0f} s")
    if "Traceback (most recent" in ended.stderr + ended.stdout:
        found.append("a traceback")
    if "edgeexpo-failure-" in ended.stderr + ended.stdout or "unforeseen" in ended.stderr:
        found.append("a failure that nothing foresaw")
    return [*found, *_said(trial, ended), *_written(trial, ended)]


def _said(trial: Trial, ended: Ended) -> Iterator[str]:
    """Yield what is wrong with the words of a command."""
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(ERROR)]
    told = ended.code in (0, 130) or (ended.code == 2 and "inspect" in trial.words and ended.stdout)
    if len(errors) > 1:
        yield "more than one error's line"
    if ended.code == 0 and errors:
        yield "an error and exit code 0"
    if not told and (not errors or lines[-1] != errors[-1]):
        yield "no line about the error at the end"
    options = trial.words[: trial.words.index("--")] if "--" in trial.words else trial.words
    if "--json" in options and not {"-h", "--help", "--version"} & set(options):
        try:
            json.loads(ended.stdout, parse_constant=_no_number)
        except ValueError as error:
            yield f"stdout is no JSON document ({error})"


def _written(trial: Trial, ended: Ended) -> Iterator[str]:
    """Yield what is wrong with the files that a command left."""
    new = {path for path in ended.after if path not in ended.before} - {"written_by_forward.txt"}
    new -= {p for p in new if "__pycache__" in p}
    changed = {p for p, f in ended.before.items() if f[0] >= 0 and ended.after.get(p) != f}
    hidden = [p for p in new if any(n.startswith(".") and n != ".edgeexpo" for n in p.split("/"))]
    if hidden:
        yield f"left over: {', '.join(sorted(hidden)[:5])}"
    if ended.code in (2, 4) and (new or changed):
        yield f"refused, but written: {', '.join(sorted(new | changed)[:5])}"
    for path in new:
        if path.endswith(MANIFEST):
            try:
                Bundle.open(Path(path).parent)
            except EdgeexpoError as error:
                yield f"a bundle that cannot be opened: {error}"


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def files_here() -> dict[str, tuple[int, int]]:
    """Return the size and the time of all files below the current folder; folders have -1."""
    found = {}
    for folder, folders, names in os.walk("."):
        for name in folders:
            found[os.path.normpath(os.path.join(folder, name))] = (-1, 0)
        for name in names:
            path = os.path.normpath(os.path.join(folder, name))
            facts = os.lstat(path)
            found[path] = (facts.st_size, facts.st_mtime_ns)
    return found


def last_line(text: str) -> str:
    """Return the last line that has words."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def flags_of_verbs() -> Flags:
    """Return the options of all verbs, each with whether it takes a value."""
    found: dict[str, bool] = {}
    for path, _ in cli.VERBS.values():
        parser = Parser()
        __import__(path)
        sys.modules[path].add_arguments(parser)
        for action in parser._actions:
            found |= dict.fromkeys(action.option_strings, action.nargs != 0)
    return sorted(found.items())


def _raise_hang(_: int, __: FrameType | None) -> NoReturn:
    raise Hang


def _reports(folder: Path) -> list[str]:
    return [p.read_text("utf-8")[-6000:] for p in sorted(folder.glob("edgeexpo-failure-*"))]


@contextlib.contextmanager
def _redirected(descriptor: int, to: int) -> Iterator[None]:
    saved = os.dup(descriptor)
    os.dup2(to, descriptor)
    try:
        yield
    finally:
        os.dup2(saved, descriptor)
        os.close(saved)


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Limit the address space to :data:`MEMORY` beyond what is taken."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


@contextlib.contextmanager
def _state_kept() -> Iterator[None]:
    """Restore what a command or a network's source may change in the process."""
    import torch

    environment, path, modules = dict(os.environ), list(sys.path), set(sys.modules)
    disabled = logging.root.manager.disable
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        logging.disable(disabled)
        for name in set(sys.modules) - modules:
            if name == "net" or name.startswith("edgeexpo_foreign"):
                del sys.modules[name]
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)


_bench: list[Bench] = []


def start(root: str, workplace: str) -> None:
    """Prepare the process."""
    _bench.append(Bench(Path(root), Path(workplace)))


def result_of(seed: int) -> dict[str, Any]:
    """Run the command of a seed and return its line of the file."""
    return _bench[0].run(seed)


def dead(seed: int, words: str) -> dict[str, Any]:
    """Return the line for a command whose process gave no result."""
    return {"seed": seed, "origin": "?", "command": "?", "outcome": BUG, "problems": [words]}


def print_tables(found: Sequence[dict[str, Any]]) -> None:
    """Print the outcomes by verb, and the bugs by seed."""
    verbs = [str(f["origin"]).split()[0] for f in found]
    outcomes = [f["outcome"] for f in found]
    print(f"{len(found)} commands\n")
    print(f"| valid command | {' | '.join(OUTCOMES)} |")
    print("|---|" + "--:|" * len(OUTCOMES))
    for verb in [*sorted(set(verbs)), "all"]:
        chosen = [o for v, o in zip(verbs, outcomes, strict=True) if verb in (v, "all")]
        row = [str(chosen.count(outcome)) for outcome in OUTCOMES]
        print(f"| {verb} | {' | '.join(row)} |")
    bugs = [f for f in found if f["outcome"] == BUG]
    if bugs:
        print("\n| seed | command | changes | bug |\n|---|---|---|---|")
    for f in bugs:
        cells = [f["command"], "; ".join(f.get("changes", ())), "; ".join(f["problems"])]
        cells[-1] += f": {f.get('words', '')}"
        shown = [" ".join(cell.split()).replace("|", "/")[:LONGEST] for cell in cells]
        print(f"| {f['seed']} | {' | '.join(shown)} |")


def main() -> int:
    """Run the commands and print the tables. The exit code is 1 if there is a bug."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="results, one JSON document a line")
    parser.add_argument("--count", type=int, default=2000, help="number of commands (default 2000)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after them")
    parser.add_argument("--workplace", type=Path, help="folder of the workplace, made if missing")
    args = parser.parse_args()
    wanted = seeds_left(args.file, args.first, args.count)
    with tempfile.TemporaryDirectory() as shared:
        workplace = args.workplace.resolve() if args.workplace else Path(shared) / "workplace"

        def arguments() -> tuple[str, str]:
            return tempfile.mkdtemp(dir=shared), str(workplace)

        for found in results(wanted, result_of, dead, DEAD, args.seconds, start, arguments):
            keep(args.file, found)
            said = f"{found['seed']}: {found['outcome']} {'; '.join(found['problems'])}"
            print(said, file=sys.stderr, flush=True)
    everything = read(args.file)
    print_tables(everything)
    return int(any(found["outcome"] == BUG for found in everything))


if __name__ == "__main__":
    sys.exit(main())
