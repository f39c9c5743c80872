"""Records of targets, which are complete and the only place that knows targets by name."""

from __future__ import annotations

import ast
import dataclasses
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeexpo import targets
from edgeexpo.errors import UsageError
from edgeexpo.runtime.engines import base
from edgeexpo.spec import PRECISIONS, ModelSpec, TensorSpec

ROOT = Path(__file__).parents[1]
SOURCES = ("edgeexpo", "export", "quantization", "runtime")
RECORDS = tuple(targets.TARGETS.values())
SPEC = ModelSpec("net", "t", ("y0",), (TensorSpec("y0"),), (TensorSpec("y"),), halo=1)


def dotted_names(record: object) -> Iterator[str]:
    """Yield every ``module:attribute`` of a record and of the records in it."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            yield from dotted_names(value)
        elif isinstance(value, str) and value.startswith("edgeexpo.") and ":" in value:
            yield value


@functools.cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Return the names and syntax trees of product modules except ``edgeexpo.targets``.

    ``rglob`` does not follow symlinks, so no module comes twice.
    """
    found = []
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts if folder == "edgeexpo" else ("edgeexpo", *parts)
            name = ".".join(parts)
            if name != "edgeexpo.targets":
                found.append((name, ast.parse(path.read_text("utf-8"))))
    return tuple(found)


def own_names(module: str) -> set[str]:
    """Return the targets whose records name ``module``. This module may name these targets."""
    return {r.name for r in RECORDS if any(n.startswith(f"{module}:") for n in dotted_names(r))}


def named(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every string of ``tree`` that is the name of a target."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in targets.TARGETS:
            yield node.lineno, node.value


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.name)
def test_every_dotted_name_of_a_record_resolves(record: targets.Target) -> None:
    names = list(dotted_names(record))
    assert len(names) >= 3
    assert all(callable(targets.resolve(name)) for name in names)


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.name)
def test_an_engine_has_the_name_that_its_record_says(record: targets.Target) -> None:
    for runner in filter(None, (record.runner, record.interpreter)):
        assert targets.resolve(runner.engine)(SPEC, base.DEFAULTS).name == runner.name


def test_names_suffixes_and_engines_differ() -> None:
    for known in (
        [record.name for record in RECORDS],
        [record.suffix for record in RECORDS],
        [runner.name for runner in targets.runners()],
    ):
        assert len(set(known)) == len(known)
    assert all(suffix.startswith(".") for suffix in targets.suffixes().values())
    assert list(targets.TARGETS) == [record.name for record in RECORDS]


def test_targets_are_preferred_in_this_order() -> None:
    known = ("onnx", "executorch", "coreml", "litert", "coreai", "qnn")
    assert targets.target_names() == known


def test_all_stands_for_the_targets_that_one_extra_installs() -> None:
    others = set(targets.target_names()) - set(targets.usual_targets())
    assert others == {"coreai", "litert", "qnn"}
    usual = [targets.target_named(name) for name in targets.usual_targets()]
    assert {record.converter_extra for record in usual} == {"export"}


def test_precisions_are_those_that_edgeexpo_knows() -> None:
    assert set(targets.USUAL_PRECISIONS) == set(PRECISIONS) - {"a16w8"}
    assert all(set(record.precisions) <= set(PRECISIONS) for record in RECORDS)


def test_an_engine_bound_to_a_platform_says_so_and_has_an_interpreter_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for record in RECORDS:
        monkeypatch.setattr(sys, "platform", record.platform or "linux")
        assert record.runs_here
        assert record.verifier is record.runner
        assert base.interpreter(record.name, SPEC) is None
        if record.platform is not None:
            monkeypatch.setattr(sys, "platform", "another")
            assert not record.runs_here
            assert record.platform_title
            assert record.verifier is record.interpreter
            assert base.interpreter(record.name, SPEC).name == record.interpreter.name


def test_an_unknown_target_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="unknown target 'abacus'; expected one of onnx, exec"):
        targets.target_named("abacus")


def test_no_product_module_names_the_targets_of_others() -> None:
    """Find names of targets outside their own files, in lists, comparisons and defaults."""
    strangers = [
        f"{name}:{line}: {text!r}"
        for name, tree in modules()
        for line, text in named(tree)
        if text not in own_names(name)
    ]
    assert strangers == []


def test_no_product_module_compares_or_keys_by_a_target() -> None:
    """Find if-chains and tables over targets, which the records replace.

    They are refused even in a target's own files.
    """
    found = []
    for name, tree in modules():
        for node in ast.walk(tree):
            parts: list[ast.expr | None] = []
            if isinstance(node, ast.Compare):
                parts = [node.left, *node.comparators]
            elif isinstance(node, ast.Dict):
                parts = list(node.keys)
            elif isinstance(node, (ast.Tuple, ast.List, ast.Set)):
                parts = list(node.elts)
            texts = [p.value for p in parts if isinstance(p, ast.Constant)]
            found += [f"{name}:{node.lineno}" for text in texts if text in targets.TARGETS]
    assert found == []


def test_no_product_module_copies_the_table() -> None:
    """Find imports of ``TARGETS``: a copy would not have a record that is added later."""
    copies = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "edgeexpo.targets"
        if any(alias.name == "TARGETS" for alias in node.names)
    ]
    assert copies == []


def test_the_check_finds_what_it_looks_for() -> None:
    assert list(named(ast.parse("if target == 'coreml':\n    pass"))) == [(1, "coreml")]
    assert own_names("edgeexpo.runtime.engines.coreml") == {"coreml"}
    assert len(list(modules())) > 200


def test_the_records_import_the_standard_library_alone() -> None:
    check = (
        "import sys; before = set(sys.modules); import edgeexpo.targets; "
        "new = {m.partition('.')[0] for m in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['edgeexpo']"
