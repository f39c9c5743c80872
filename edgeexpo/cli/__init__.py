"""The command line: ``edgeexpo VERB``. Only the module of the verb that was typed is imported."""

from __future__ import annotations

import argparse
import errno
import importlib
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeexpo import __version__
from edgeexpo.cli.arguments import Parser, unknown_name
from edgeexpo.cli.early_checks import check_early
from edgeexpo.cli.flags import with_flags
from edgeexpo.cli.termination import EXIT_CODE, Terminated, terminable
from edgeexpo.errors import EdgeexpoError, InternalError, OutputError, UsageError
from edgeexpo.failures import (
    Reporting,
    described,
    message_of,
    out_of_memory,
    reporting,
    show_trace,
    unforeseen,
)
from edgeexpo.progress import rewritten_notes
from edgeexpo.silence import open_closed_streams, protected_stdout, quiet_libraries

VERBS: Mapping[str, tuple[str, str]] = {
    "export": ("edgeexpo.cli.export", "export a network, verify every artefact, write a bundle"),
    "parity": ("edgeexpo.cli.parity", "compare every artefact of a bundle with the reference"),
    "debug": ("edgeexpo.cli.debug", "name the first layer where an artefact leaves the reference"),
    "run": ("edgeexpo.cli.run", "run a bundle on a bracket: pictures in, picture out"),
    "evaluate": ("edgeexpo.cli.evaluate", "measure quality against ground truth, or judge looks"),
    "bench": ("edgeexpo.cli.bench", "time every artefact next to torch: latency, memory, size"),
    "quantize": ("edgeexpo.cli.quantize", "INT8 weights by calibration, or by training (QAT)"),
    "train": ("edgeexpo.cli.train", "train a network of the zoo by its recipe; resumable"),
    "prune": ("edgeexpo.cli.prune", "remove channels of a network and train it to recover"),
    "sensitivity": ("edgeexpo.cli.sensitivity", "show which layer costs how much picture"),
    "tune": ("edgeexpo.cli.tune", "search pruning and float layers, measured on the engine"),
    "inspect": ("edgeexpo.cli.inspect", "show what is in an artefact or a bundle"),
    "models": ("edgeexpo.cli.models", "list the networks that ship with edgeexpo"),
    "doctor": ("edgeexpo.cli.doctor", "show what is installed, what is missing and how to get it"),
}
"""Table of the verbs: verb -> (module, one line of help).

Each module has ``add_arguments(parser)`` and ``run(args)``, which returns the exit code.
"""

EPILOG = """\
exit codes: 0 success; 1 an export or an engine failed; 2 usage or bad input; 3 a parity gate
or a look failed; 4 an optional package is missing; 5 exported but not verified, under --strict
"""

DEBUG = "--debug"
"""Flag of every verb that prints the trace of an error in addition to its line."""

_NO_MEMORY = "out of memory; use smaller pictures or a smaller --size"

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)
"""Refusals of the operating system to write."""

_NO_PATHS = (
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOENT,
    errno.EEXIST,
)
"""Refusals of the operating system to take a path for what a verb expects of it."""

LONGEST_LINE = 1200
"""Largest length of an error's line in characters. A longer one loses its middle."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code.

    Args:
        argv: The arguments (default: those of the process).
    """
    open_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = argparse.Namespace(json="--json" in arguments, debug=DEBUG in arguments)
    hint = "" if args.debug else f"{DEBUG} prints it"
    with reporting(Reporting(("edgeexpo", *arguments), hint, args.debug)):
        return _ended(arguments, args)


def _ended(arguments: list[str], args: argparse.Namespace) -> int:
    """Run one verb and return the exit code, whatever the verb raises."""
    try:
        with terminable(), rewritten_notes(with_flags):
            return _run(arguments, args)
    except EdgeexpoError as error:
        return _fail(args, error)
    except BrokenPipeError:
        # The reader of our output has closed the pipe. Without this redirection, the interpreter's
        # last flush would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except OSError as error:
        return _fail(args, _refused(error) or _internal(error))
    except KeyboardInterrupt:
        sys.stderr.write("edgeexpo: interrupted\n")
        return 130
    except Terminated:
        sys.stderr.write("edgeexpo: terminated\n")
        return EXIT_CODE
    except BaseException as error:  # noqa: BLE001 - third parties may raise anything
        if out_of_memory(error):
            return _fail(args, OutputError(_NO_MEMORY))
        return _fail(args, _internal(error))


def _run(arguments: list[str], args: argparse.Namespace) -> int:
    verb = next((a for a in arguments if not a.startswith("-")), None)
    if verb is not None and verb not in VERBS:
        raise UsageError(unknown_name(verb, VERBS, "verb"))
    parser = Parser(prog="edgeexpo", epilog=EPILOG, description=_description())
    parser.add_argument("--version", action="version", version=f"edgeexpo {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    module = None
    for name, (path, line) in VERBS.items():
        sub = verbs.add_parser(name, help=line, description=line)
        if name == verb:
            module = importlib.import_module(path)
            module.add_arguments(sub)
            sub.add_argument(DEBUG, action="store_true", help="print the trace of every error")
    try:
        parser.parse_args(arguments, args)
    except SystemExit as done:  # --help and --version end by this exception
        sys.stdout.flush()
        return int(done.code or 0)
    assert module is not None  # a verb is required, and an unknown verb was refused above
    check_early(args)
    with protected_stdout() as args.stdout, quiet_libraries():
        try:
            return int(module.run(args))
        finally:
            del args.stdout


def _description() -> str:
    return (
        "Take an exposure network to phones and drones: quantise once, export to ExecuTorch, "
        "Core ML and ONNX, prove every picture."
    )


def _refused(error: OSError) -> EdgeexpoError | None:
    """Turn what the operating system refuses into a typed error, if a user can mend it."""
    where = f" {error.filename}" if error.filename else ""
    if error.errno in _UNWRITABLE:
        return OutputError(f"cannot write{where}: {error.strerror}")
    if error.errno in _NO_PATHS and where:
        return UsageError(f"cannot use{where}: {error.strerror}; name another path")
    return OutputError(_NO_MEMORY) if out_of_memory(error) else None


def _internal(error: BaseException) -> InternalError:
    """Turn an exception that nothing foresaw into a typed error that names its report."""
    internal = InternalError(f"unforeseen {described(error)}{_place(error)}")
    internal.__cause__ = error
    internal.add_note(unforeseen(error, "running a verb"))
    return internal


def _place(error: BaseException) -> str:
    """Return the line of code that raised ``error``, in words."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _fail(args: argparse.Namespace, error: EdgeexpoError) -> int:
    """Report ``error`` in one line on stderr and return its exit code.

    Under ``--json`` the error is also the one document on stdout. Under ``--debug`` its trace
    stands before the line.
    """
    show_trace(error.__cause__ if isinstance(error, InternalError) and error.__cause__ else error)
    told = "; ".join([message_of(error), *getattr(error, "__notes__", ())])
    message = _shortened(with_flags(" ".join(told.split())))
    sys.stderr.write(f"edgeexpo: error: {message}\n")
    if args.json and not getattr(args, "emitted", False):
        document = {"error": {"type": type(error).__name__, "message": message}}
        stream = getattr(args, "stdout", None) or sys.stdout
        stream.write(json.dumps(document, indent=2) + "\n")
        stream.flush()
        args.emitted = True
    return error.exit_code


def _shortened(line: str) -> str:
    """Cut the middle of a line that is too long. What was found and the way out stay."""
    half = LONGEST_LINE // 2
    return line if len(line) <= LONGEST_LINE else f"{line[:half]} ... {line[-half:]}"
