"""No module needs Unix to be imported: on Windows a verb fails where it must, not at its import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    file
    for folder in ("edgeexpo", "export", "quantization", "runtime")
    for file in sorted((ROOT / folder).rglob("*.py"))  # rglob does not follow the symlinks
]
UNIX_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
UNIX_NAMES = {
    *("fork", "getloadavg", "getuid", "killpg", "memfd_create", "mkfifo", "pread", "pwrite"),
    *("register_at_fork", "sched_getaffinity", "sched_setaffinity", "setsid", "statvfs"),
}
"""What ``os`` holds on Unix alone."""


def unix_needs(node: ast.AST) -> Iterator[str]:
    """What Windows lacks of what is evaluated when the module of ``node`` is imported."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
            return
        case ast.If(test=test) if "hasattr(os" in ast.unparse(test):
            return
        case ast.Import(names=names):
            yield from (alias.name for alias in names if alias.name in UNIX_MODULES)
        case ast.ImportFrom(module=module) if module in UNIX_MODULES:
            yield module
        case ast.Attribute(ast.Name("os"), name) if name in UNIX_NAMES:
            yield f"os.{name}"
    for child in ast.iter_child_nodes(node):
        yield from unix_needs(child)


def test_no_module_asks_for_what_windows_lacks() -> None:
    assert len(SOURCES) > 150
    found = {
        file.relative_to(ROOT).as_posix(): needs
        for file in SOURCES
        if (needs := list(unix_needs(ast.parse(file.read_text("utf-8")))))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("code", "needs"),
    [
        ("import fcntl", ["fcntl"]),
        ("from resource import getrusage", ["resource"]),
        ("import os\nos.register_at_fork(print)", ["os.register_at_fork"]),
        ("import os\nif hasattr(os, 'register_at_fork'):\n    os.register_at_fork(print)", []),
        ("def f():\n    import fcntl", []),
        ("class A:\n    import pwd", ["pwd"]),
    ],
)
def test_the_check_sees_what_an_import_evaluates(code: str, needs: list[str]) -> None:
    assert list(unix_needs(ast.parse(code))) == needs


ELSEWHERE = """
import builtins, os, random, concurrent.futures.thread, logging
missing = {"fcntl", "grp", "pwd", "resource", "syslog", "termios"}
real = builtins.__import__
def guarded(name, globals=None, locals=None, fromlist=(), level=0):
    if name in missing and str((globals or {}).get("__name__")).startswith("edgeexpo"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, globals, locals, fromlist, level)
builtins.__import__ = guarded
for name in ("fork", "getloadavg", "memfd_create", "register_at_fork", "sched_setaffinity"):
    if hasattr(os, name):
        delattr(os, name)
import edgeexpo.cli.bench, edgeexpo.cli.doctor, edgeexpo.cli.run, edgeexpo.parity.isolation
import edgeexpo.runtime.engines.isolated, edgeexpo.runtime.engines.onnx
import edgeexpo.runtime.engines.worker_process, edgeexpo.workflows.latency_child
from edgeexpo.host import load_average
print(load_average())
"""


def test_what_lies_closest_to_the_system_is_imported_without_unix() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
