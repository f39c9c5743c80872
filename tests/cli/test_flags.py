"""Tests that messages name parameters in the library and flags on the command line."""

from __future__ import annotations

import argparse
import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgeexpo
from edgeexpo.cli import VERBS
from edgeexpo.cli.flags import FLAGS, flag_of, with_flags
from edgeexpo.progress import note, rewritten_notes

ROOT = Path(edgeexpo.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
PARAMETER = re.compile(r"(?<![`:])`([a-z][a-z0-9_]*)(?:=[^`]*)?`(?!`)")

OTHER_COMMANDS = {
    "inspection/xnnpack_payload.py": {"--python", "--gen-onefile", "--gen-object-api"},
    "parity/reference.py": {"--query-gpu", "--format"},
    "remote/installing.py": {"--disable-pip-version-check", "--only-binary"},
    "parity/provenance.py": {"--report"},
}
"""Flags in commands that a module runs, or writes down so that somebody can repeat them."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield every source file, as a path and a tree, but for those that deal with commands."""
    for path in _files(ROOT):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(("cli/", "testing/mutated/")) and name != "testing/pytest_plugin.py":
            yield name, ast.parse(path.read_text("utf-8"))


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _files(path)
        elif path.suffix == ".py":
            yield path


def texts(tree: ast.Module) -> Iterator[str]:
    """Yield every string of a module, with ``X`` in the place of an inserted value."""
    inner = {
        id(value) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for value in n.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else "X" for v in node.values)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
        ):
            yield node.value


def flags_of_verbs() -> set[str]:
    found = set()
    for module, _ in VERBS.values():
        parser = argparse.ArgumentParser()
        importlib.import_module(module).add_arguments(parser)
        found |= set(parser._option_string_actions)
    return found


def test_no_message_outside_the_command_line_names_a_flag() -> None:
    found = {
        (name, flag)
        for name, tree in sources()
        for text in texts(tree)
        for flag in FLAG.findall(text)
        if flag not in OTHER_COMMANDS.get(name, set())
    }
    assert found == set()


def test_every_parameter_that_a_message_names_has_a_flag() -> None:
    flags = flags_of_verbs()
    named = {
        (name, parameter)
        for name, tree in sources()
        for text in texts(tree)
        for parameter in PARAMETER.findall(text)
    }
    assert len(named) > 40
    assert {(name, p) for name, p in named if flag_of(p) not in flags} == set()


def test_the_table_holds_only_flags_that_differ_from_their_parameter() -> None:
    flags = flags_of_verbs()
    assert set(FLAGS.values()) <= flags
    assert not [p for p, flag in FLAGS.items() if flag == f"--{p.replace('_', '-')}"]


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        (
            "`int8` weights have their ranges; leave out `calibration`, or `int8`",
            "--int8 weights have their ranges; leave out --calib, or --int8",
        ),
        ("lower `learning_rate`", "lower --learning-rate"),
        ("use `force=True`, or `output` elsewhere", "use --force, or -o elsewhere"),
        ("export it with `precision='fp32'`", "export it with --precision fp32"),
        ("`batch=2` `steps=0`: expected", "--batch 2 --steps 0: expected"),
        ("no parameter: `Two words` or ``code``", "no parameter: `Two words` or ``code``"),
    ],
)
def test_parameters_become_what_is_typed(message: str, typed: str) -> None:
    assert with_flags(message) == typed


def test_notes_are_written_for_the_command_line_only_inside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with rewritten_notes(with_flags):
        note("give `vgg`")
    note("give `vgg`")
    assert capsys.readouterr().err == "give --vgg\ngive `vgg`\n"
