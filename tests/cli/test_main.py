"""Tests of what all verbs share: exit codes, one line for each error, one document for --json."""

from __future__ import annotations

import argparse
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeexpo import __version__, cli
from edgeexpo.cli import main
from edgeexpo.cli.arguments import add_selection, list_of, positive, size, unknown_name, value_range
from edgeexpo.cli.output import add_json_argument, emit, human_bytes, human_ms, table
from edgeexpo.errors import EdgeexpoError, GateError, MissingDependencyError, UsageError

Verb = Callable[[argparse.Namespace], int]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Verb], None]:
    """Install a function as the verb ``act``."""

    def install(run: Verb) -> None:
        def add_arguments(parser: argparse.ArgumentParser) -> None:
            add_json_argument(parser)
            add_selection(parser)

        module = types.ModuleType("edgeexpo_test_act")
        module.__dict__.update(run=run, add_arguments=add_arguments)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(cli, "VERBS", {**cli.VERBS, "act": (module.__name__, "act")})

    return install


def script(body: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a new process, with ``body`` as the verb ``act``."""
    code = f"""
import sys, types
from edgeexpo import cli
from edgeexpo.cli.output import add_json_argument, emit
def run(args):
{body}
module = types.ModuleType("act"); module.run = run; module.add_arguments = add_json_argument
sys.modules["act"] = module
cli.VERBS = {{"act": ("act", "act")}}
sys.exit(cli.main())
"""
    command = [sys.executable, "-c", code, "act", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


NOISE = """
    import ctypes, logging, os, warnings
    print("python print")
    os.write(1, b"native write\\n")
    ctypes.CDLL(None).printf(b"native buffered\\n")
    os.system("echo from a child")
    logging.getLogger("coremltools").warning("a log line")
    warnings.warn("a warning")
    emit(args, {"answer": 42}, "the answer is 42")
    return 0
"""


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_noise_of_libraries_never_reaches_stdout(flags: tuple[str, ...]) -> None:
    done = script(NOISE, *flags)
    assert done.returncode == 0
    if flags:
        assert json.loads(done.stdout) == {"answer": 42}
    else:
        assert done.stdout == "the answer is 42\n"
    for line in ("python print", "native write", "native buffered", "from a child"):
        assert line in done.stderr
    assert "a log line" not in done.stderr
    assert "a warning" not in done.stderr


def test_warnings_are_shown_on_request() -> None:
    done = script(NOISE, env={**os.environ, "PYTHONWARNINGS": "default"})
    assert "a warning" in done.stderr
    assert done.stdout == "the answer is 42\n"


@pytest.mark.parametrize("kind", [UsageError, GateError, MissingDependencyError, EdgeexpoError])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_an_error_is_one_line_and_its_exit_code(
    verb: Callable[[Verb], None],
    capsys: pytest.CaptureFixture[str],
    kind: type[EdgeexpoError],
    flags: list[str],
) -> None:
    def run(_: argparse.Namespace) -> int:
        raise kind("found this,\n  expected that")

    verb(run)
    assert main(["act", *flags]) == kind.exit_code
    out, err = capsys.readouterr()
    assert err == "edgeexpo: error: found this, expected that\n"
    message = {"type": kind.__name__, "message": "found this, expected that"}
    assert (json.loads(out) == {"error": message}) if flags else (out == "")


def test_an_error_after_the_document_adds_no_second_one(
    verb: Callable[[Verb], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: argparse.Namespace) -> int:
        emit(args, {"artifacts": []}, "")
        raise GateError("psnr 38 is below 40")

    verb(run)
    assert main(["act", "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out) == {"artifacts": []}
    assert err == "edgeexpo: error: psnr 38 is below 40\n"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 1, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), 1, "out of memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "dist"), 1, "dist"),
        (OSError(errno.EFBIG, "File too large"), 1, "File too large"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "a" * 300), 2, "name too long"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "photos"), 2, "photos: Is a directory"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_what_the_machine_refuses_is_one_line_too(
    verb: Callable[[Verb], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    words: str,
) -> None:
    def run(_: argparse.Namespace) -> int:
        raise error

    verb(run)
    assert main(["act", "--json"]) == code
    out, err = capsys.readouterr()
    assert words in err
    assert len(err.splitlines()) == 1
    assert out == "" if code == 130 else "error" in json.loads(out)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ZeroDivisionError("division by zero"),
            "unforeseen ZeroDivisionError: division by zero in",
        ),
        (KeyError("first\nsecond"), "unforeseen KeyError: 'first\\nsecond' in test_main.py:"),
        (ValueError("\n\n  first\nsecond"), "unforeseen ValueError: first in test_main.py:"),
        (OSError(errno.EBADF, "Bad file descriptor"), "unforeseen OSError: [Errno 9] Bad file"),
        (SystemExit(7), "unforeseen SystemExit: 7 in"),
        (RuntimeError("graph " * 500), "... in test_main.py:"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--json"], ["--debug"]])
def test_what_nothing_foresaw_is_one_line_and_a_file(
    verb: Callable[[Verb], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    error: BaseException,
    words: str,
    flags: list[str],
) -> None:
    def run(_: argparse.Namespace) -> int:
        raise error

    verb(run)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["act", *flags]) == 1
    out, err = capsys.readouterr()
    *trace, line = err.splitlines()
    assert line.startswith("edgeexpo: error: ")
    assert words in line
    assert len(line) < 600
    (file,) = tmp_path.iterdir()
    assert f"the trace is in {file}" in line
    assert ("--debug prints it" in line) == ("--debug" not in flags)
    text = file.read_text()
    assert f"command: {' '.join(['edgeexpo act', *flags])}\n" in text
    assert f"edgeexpo {__version__}" in text
    assert "Traceback (most recent call last)" in text
    assert bool(trace) == ("--debug" in flags)
    assert (json.loads(out)["error"]["type"] == "InternalError") if "--json" in flags else not out


def test_debug_prints_the_trace_of_a_known_error_as_well(
    verb: Callable[[Verb], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: argparse.Namespace) -> int:
        try:
            raise KeyError("cause")
        except KeyError as error:
            raise UsageError("found this") from error

    verb(run)
    assert main(["act", "--debug"]) == 2
    *trace, line = capsys.readouterr().err.splitlines()
    assert line == "edgeexpo: error: found this"
    assert "KeyError: 'cause'" in trace


def test_a_long_message_keeps_its_ends(
    verb: Callable[[Verb], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: argparse.Namespace) -> int:
        raise UsageError(f"found this {'graph ' * 1000} do that")

    verb(run)
    assert main(["act"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("edgeexpo: error: found this graph")
    assert line.endswith("graph do that\n")
    assert len(line) < 1300


def test_a_temporary_folder_that_refuses_is_said(
    verb: Callable[[Verb], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run(_: argparse.Namespace) -> int:
        raise ZeroDivisionError

    verb(run)
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert main(["act"]) == 1
    assert "the trace cannot be written (--debug prints it)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["exprot"], "did you mean 'export'?"),
        (["act", "--target", "coreMl"], "did you mean 'coreml'?"),
        (["act", "--target", "xyzzy"], "expected one of onnx, executorch, coreml"),
        (["act", "--precision", "int"], "did you mean 'int8'?"),
        (["act", "--no-such-flag"], "--no-such-flag"),
        ([], "VERB"),
    ],
)
def test_bad_arguments_exit_2_and_suggest_the_nearest(
    verb: Callable[[Verb], None],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    verb(lambda args: 0)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) == 1
    assert main([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "UsageError"


def test_ctrl_c_ends_a_real_process_cleanly() -> None:
    code = (  # a process that a script starts in the background would ignore the signal
        "    import os, signal\n    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n    return 0\n"
    )
    done = script(code)
    assert (done.returncode, done.stderr) == (130, "edgeexpo: interrupted\n")


@pytest.mark.parametrize("arguments", [["--help"], ["act", "--json"]])
def test_a_reader_that_leaves_is_no_error(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = (
        "import sys, types; from edgeexpo import cli; from edgeexpo.cli.output import *\n"
        "act = types.ModuleType('act'); act.add_arguments = add_json_argument\n"
        "act.run = lambda args: emit(args, [1], '1') or 0\n"
        "sys.modules['act'] = act; cli.VERBS = {'act': ('act', 'act')}; sys.exit(cli.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # without a buffer, argparse hides the error
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_every_verb_exists_and_is_imported_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for name, (path, line) in cli.VERBS.items():
        module = importlib.import_module(path)
        assert callable(module.run)
        assert main([name, "--help"]) == 0
        out = capsys.readouterr().out
        assert "--json" in out
        assert " ".join(line.split()) in " ".join(out.split())
    check = (
        "import sys; from edgeexpo.cli import main; main(['models', '--help'])\n"
        "found = {m for m in sys.modules if m.startswith('edgeexpo.cli.')}\n"
        "assert 'edgeexpo.cli.bench' not in found, found\n"
        "assert not {'torch', 'numpy', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, stdout=subprocess.DEVNULL)


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"edgeexpo {__version__}\n"
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in cli.VERBS)


def test_stdout_is_whole_again_afterwards(
    verb: Callable[[Verb], None], capfd: pytest.CaptureFixture[str]
) -> None:
    verb(lambda args: os.write(1, b"inside\n") * 0)
    assert main(["act"]) == 0
    os.write(1, b"after\n")
    out, err = capfd.readouterr()
    assert (out, err) == ("after\n", "inside\n")


def test_lists_and_sizes_are_read() -> None:
    targets = list_of(("onnx", "coreml", "litert"), {"all": ("onnx", "coreml")})
    assert targets("coreml, onnx,coreml") == ("coreml", "onnx")
    assert targets("all") == ("onnx", "coreml")
    assert targets("litert,all,coreml") == ("litert", "onnx", "coreml")
    assert size("480,640") == size("480x640") == (480, 640)
    assert positive("3") == 3
    assert value_range("-1,1") == (-1.0, 1.0)
    for read, text in [
        (targets, ""),
        (targets, "tflite"),
        (targets, "all,tflite"),
        (size, "512"),
        (size, "0,5"),
        (size, "-1,5"),
        (positive, "0"),
        (positive, "many"),
        (value_range, "1"),
        (value_range, "1,0"),
        (value_range, "0,inf"),
        (value_range, "0,1,2"),
    ]:
        with pytest.raises(argparse.ArgumentTypeError, match="expected"):
            read(text)


def test_unknown_names_have_the_nearest_or_none() -> None:
    assert unknown_name("LRL", ["lrl", "exponet"], "model") == (
        "unknown model 'LRL', expected one of lrl, exponet; did you mean 'lrl'?"
    )
    assert "did you mean" not in unknown_name("qqq", ["lrl"])


def test_tables_are_aligned() -> None:
    rows = [{"file": "a.onnx", "ms": 1.5, "ok": True}, ["long-name.pte", 1234.5678, False]]
    assert table(rows, ["file", "ms", "ok"]).splitlines() == [
        "file             ms   ok",
        "-------------  ----  ---",
        "a.onnx          1.5  yes",
        "long-name.pte  1235   no",
    ]
    assert table([{"a": None}], ["a"]).splitlines() == ["a", "-", "-"]
    assert table([], ["a", "b"]).splitlines() == ["a  b", "-  -"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (28848, "28.8 kB"), (2.5e9, "2.5 GB")]
)
def test_bytes_are_humane(count: float, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0.42, "0.42 ms"), (187.2, "187 ms"), (999.7, "1 s"), (12345, "12.3 s"), (float("nan"), "-")],
)
def test_times_are_humane(ms: float, text: str) -> None:
    assert human_ms(ms) == text


def test_json_has_no_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        emit(argparse.Namespace(json=True), {"psnr": float("nan")}, "")
