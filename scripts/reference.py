"""Write the references that come from the code: verbs, bundle, Python, errors, networks, looks.

    python scripts/reference.py [--check]

``--check`` writes nothing and exits with 1 when a page is not what the code says.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

PAGES_FOLDER = ROOT / "docs" / "reference"
"""Folder of the generated pages."""

NOTICE = "<!-- Written by scripts/reference.py; edit the code and run it again. -->"
"""First line of every generated page."""

ROLE = re.compile(r":\w+(?::\w+)?:`([^`]+)`|``([^`]+)``")
"""Sphinx roles and double backticks in docstrings."""

SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example", "Examples", "Note")
"""Headings of Google-style docstrings."""

MANIFEST_CLASSES: Mapping[str, str] = {
    "Manifest": "edgeexpo.bundle.manifest",
    "Artifact": "edgeexpo.bundle.manifest",
    "Refusal": "edgeexpo.bundle.manifest",
    "SizeRange": "edgeexpo.spec",
    "ModelSpec": "edgeexpo.spec",
    "TensorSpec": "edgeexpo.spec",
    "StageSpec": "edgeexpo.spec",
    "ExportRecipe": "edgeexpo.spec",
    "Gate": "edgeexpo.spec",
    "FrameFormat": "edgeexpo.frame_format",
    "EngineVersions": "edgeexpo.engine_versions",
    "WrongVersions": "edgeexpo.engine_versions",
}
"""Classes that the manifest is written from, with their modules."""

RECORD_CLASSES: Mapping[str, str] = {
    "ParityReport": "edgeexpo.parity.verdict",
    "ArtifactParity": "edgeexpo.parity.verdict",
    "Device": "edgeexpo.parity.golden",
}
"""Classes that the parity record is written from, with their modules."""

PUBLIC_MODULES = ("edgeexpo", "edgeexpo.runtime")
"""Modules whose ``__all__`` is the public surface."""

RESULT_CLASSES: Mapping[str, str] = {
    "Bundle": "edgeexpo.bundle.bundle",
    "ExportPlan": "edgeexpo.workflows.plan_result",
    "PlannedArtifact": "edgeexpo.workflows.plan_result",
    "PlannedLine": "edgeexpo.workflows.plan_result",
    "ParityReport": "edgeexpo.parity.verdict",
}
"""Classes that public functions return, with their modules."""


def markdown(text: str) -> str:
    """``text`` of a docstring as Markdown: roles and double backticks become code."""

    def code(match: re.Match[str]) -> str:
        name = (match[1] or match[2]).strip()
        return f"`{name.lstrip('~.')}`"

    return ROLE.sub(code, text)


def cell(text: str) -> str:
    """``text`` as one cell of a table."""
    return " ".join(markdown(text).split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [list(head), ["---"] * len(head), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def parts(doc: str | None) -> dict[str, str]:
    """The sections of a Google-style docstring; the text before them has the name ``""``."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in inspect.cleandoc(doc or "").splitlines():
        if line.removesuffix(":") in SECTIONS and line.endswith(":"):
            name = line[:-1]
            found[name] = []
        else:
            found[name].append(line)
    return {name: inspect.cleandoc("\n".join(lines)).strip() for name, lines in found.items()}


def items(section: str) -> dict[str, str]:
    """The entries ``name: text`` of a section; a name list before the colon gives one entry."""
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        start = re.match(r"([\w*][\w, *.]*?)(?: \([^)]*\))?:\s+(.*)", line)
        if start and not line.startswith(" "):
            name = start[1]
            found[name] = start[2]
        elif name:
            found[name] += " " + line.strip()
    return found


def json_type(annotation: str) -> str:
    """An annotation in the words of JSON."""
    node = ast.parse(annotation, mode="eval").body

    def words(node: ast.expr) -> str:
        if isinstance(node, ast.BinOp):
            return f"{words(node.left)} or {words(node.right)}"
        if isinstance(node, ast.Subscript):
            arguments = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            kinds = [words(a) for a in arguments if not _is_ellipsis(a)]
            if ast.unparse(node.value) == "Mapping":
                return f"object of {kinds[-1]}"
            fixed = not any(map(_is_ellipsis, arguments))
            return f"list of {len(kinds)} {kinds[0]}" if fixed else f"list of {kinds[0]}"
        names = {
            "str": "string", "int": "integer", "float": "number", "bool": "true or false",
            "None": "null", "Any": "any",
        }  # fmt: skip
        return names.get(ast.unparse(node), f"`{ast.unparse(node)}`")

    return words(node)


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _page(title: str, intro: str, *sections: str) -> str:
    return "\n\n".join([NOTICE, f"# {title}", intro, *sections]).rstrip() + "\n"


def _load(name: str, module: str) -> Any:
    return getattr(importlib.import_module(module), name)


def command_line() -> str:
    """Every verb with its arguments."""
    from edgeexpo.cli import VERBS
    from edgeexpo.cli.arguments import Parser

    sections = []
    for verb, (module, line) in VERBS.items():
        parser = Parser(prog=f"edgeexpo {verb}")
        importlib.import_module(module).add_arguments(parser)
        rows = [
            (f"`{_invocation(action)}`".replace("|", "\\|"), cell(_help(parser, action)))
            for action in sorted(parser._actions, key=lambda a: bool(a.option_strings))
            if not isinstance(action, argparse._HelpAction)
        ]
        sections.append(f"## {verb}\n\n{_sentence(line)}\n\n{table(('argument', 'meaning'), rows)}")
    return _page(
        "Command line",
        "`edgeexpo VERB ...` runs one verb. Text for people is on stdout, progress and errors are "
        "on stderr. With `--json`, stdout has exactly one JSON document. `edgeexpo VERB --help` "
        "prints these tables in the terminal. Exit codes are in the "
        "[errors reference](errors.md#exit-codes).",
        *sections,
    )


def _sentence(line: str) -> str:
    return line[0].upper() + line[1:].removesuffix(".") + "."


def _invocation(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings)
    if action.nargs == 0:
        return names
    metavar = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices else None
    )
    value = str(metavar or (action.dest if not names else action.dest.upper()))
    if action.nargs == "?":
        value = f"[{value}]"
    elif action.nargs in ("+", "*"):
        value = f"{value} [{value} ...]"
    return f"{names} {value}".strip()


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    values = {k: v for k, v in vars(action).items() if v is not argparse.SUPPRESS}
    return (action.help or "") % {**values, "prog": parser.prog}


def bundle() -> str:
    """Every key of the manifest and of the parity record."""
    files = table(
        ("file", "what", "on the device"),
        (
            ("`manifest.json`", "what the bundle says of itself", "yes"),
            (
                "`MODEL.PRECISION.onnx`, `.pte`, `.tflite`, `.mlpackage/`",
                "the artefacts",
                "the one of its engine",
            ),
            ("`reference.pt2`", "the float program, which every artefact is compared with", "no"),
            ("`quantized.pt2`", "the quantised program, which INT8 is lowered from", "no"),
            ("`golden/`", "recorded inputs and outputs of the reference", "no"),
            ("`report.html`", "the parity report, one page that opens offline", "no"),
        ),
    )
    digest = (
        "The SHA-256 of a folder is that of its sorted lines "
        "`relative-path NUL file-sha256 LF`. Its `bytes` are the sum of its files."
    )
    classes = [_keys(_load(name, module)) for name, module in MANIFEST_CLASSES.items()]
    record = [_keys(_load(name, module)) for name, module in RECORD_CLASSES.items()]
    return _page(
        "Bundle",
        "A bundle is the folder that `edgeexpo export` writes. Its manifest is JSON; keys are "
        "added in later versions, and none is renamed.",
        f"## Files\n\n{files}\n\n{digest}",
        "## Manifest keys\n\n`manifest.json` is one `Manifest`.",
        *classes,
        "## Parity record\n\nThe manifest's `parity` is one `ParityReport`. `parity --json` prints "
        "the same. Its keys `passed` and `artifacts[].passed` say whether no artefact failed, and "
        "whether this one is verified.",
        *record,
    )


def _keys(kind: type) -> str:
    told = parts(kind.__doc__)
    meanings = {
        name: text
        for names, text in items(told.get("Attributes", "")).items()
        for name in re.split(r",\s*", names)
    }
    unwritten = {"outputs", "cases"}
    rows = [
        (f"`{field.name}`", json_type(str(field.type)), cell(meanings.get(field.name, "")))
        for field in dataclasses.fields(kind)
        if field.repr or field.name not in unwritten
    ]
    head = table(("key", "type", "meaning"), rows)
    return f"### {kind.__name__}\n\n{markdown(told[''])}\n\n{head}"


def python() -> str:
    """Every public function and class, with their docstrings."""
    sections = []
    for module in PUBLIC_MODULES:
        loaded = importlib.import_module(module)
        sections.append(f"## {module}\n\n{markdown(parts(loaded.__doc__)[''])}")
        for name in loaded.__all__:
            if not name.startswith("__"):
                sections.append(_described(getattr(loaded, name), f"{module}.{name}"))
    sections.append("## Results\n\nThese classes are what the functions above return.")
    sections += [_described(_load(n, m), f"{m}.{n}") for n, m in RESULT_CLASSES.items()]
    return _page(
        "Python",
        "These names are the public surface: a test freezes them. Each is imported on use, so "
        "`import edgeexpo` brings no torch.",
        *sections,
    )


def _described(thing: Any, path: str) -> str:
    text = [f"### {path}", _signature(thing, path.rpartition(".")[2]), *_told(thing.__doc__)]
    if inspect.isclass(thing):
        for name, member in _methods(thing):
            doc = getattr(member, "fget", member).__doc__
            heading = f"#### {thing.__name__}.{name}"
            shown = "" if isinstance(member, property) else _signature(member, name)
            text += [part for part in (heading, shown, *_told(doc)) if part]
    return "\n\n".join(text)


def _methods(kind: type) -> Iterator[tuple[str, Any]]:
    for name, member in vars(kind).items():
        plain = getattr(member, "__func__", member)
        public = not name.startswith("_") or name == "__call__"
        if public and (inspect.isfunction(plain) or isinstance(member, property)):
            yield name, member if isinstance(member, property) else plain


def _signature(thing: Any, name: str) -> str:
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    arguments = [_argument(p) for p in found.parameters.values() if p.name != "self"]
    arguments = _with_markers(found, arguments)
    untold = inspect.isclass(thing) or found.return_annotation is found.empty
    returns = "" if untold else f" -> {found.return_annotation}"
    line = f"{name}({', '.join(arguments)}){returns}"
    if len(line) > 88:
        line = f"{name}(\n    " + ",\n    ".join(arguments) + f",\n){returns}"
    return f"```python\n{line}\n```"


def _argument(parameter: inspect.Parameter) -> str:
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
    text: str = stars.get(parameter.kind.name, "") + parameter.name
    annotated = parameter.annotation is not parameter.empty
    if annotated:
        text += f": {parameter.annotation}"
    if parameter.default is not parameter.empty:
        default = getattr(parameter.default, "__name__", repr(parameter.default))
        text += f"{' = ' if annotated else '='}{default}"
    return text


def _with_markers(found: inspect.Signature, arguments: list[str]) -> list[str]:
    kinds = [p.kind for p in found.parameters.values() if p.name != "self"]
    keyword, star = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_POSITIONAL
    if keyword in kinds and star not in kinds:
        first = kinds.index(keyword)
        return [*arguments[:first], "*", *arguments[first:]]
    return arguments


def _told(doc: str | None) -> Iterator[str]:
    for name, text in parts(doc).items():
        if not text:
            continue
        if name in ("Args", "Attributes", "Raises"):
            what = {"Args": "argument", "Attributes": "attribute", "Raises": "raises"}[name]
            yield table((what, "meaning"), [(f"`{k}`", cell(v)) for k, v in items(text).items()])
        elif name in ("Example", "Examples"):
            yield f"```python\n{text.removeprefix('::').strip()}\n```"
        else:
            words = _prose(text)
            yield f"*{name}:* {words}" if name else words


def _prose(text: str) -> str:
    """Text whose literal and doctest blocks become fences."""
    blocks = []
    for block in re.split(r"\n\s*\n", text):
        if block.lstrip().startswith(">>>"):
            blocks.append(f"```python\n{inspect.cleandoc(block)}\n```")
        elif block.startswith("    "):
            blocks.append(f"```text\n{inspect.cleandoc(block)}\n```")
        else:
            blocks.append(markdown(re.sub(r"::$", ":", block)))
    return "\n\n".join(b for b in blocks if b.strip() != ":")


def errors() -> str:
    """Every error with its exit code."""
    from edgeexpo import errors as module

    kinds = [
        kind
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, module.EdgeexpoError)
    ]
    rows = [
        (
            f"`{kind.__name__}`",
            f"`{kind.__base__.__name__}`" if kind.__base__ else "",
            str(kind.exit_code),
            cell(parts(kind.__doc__)[""]),
        )
        for kind in kinds
    ]
    codes = (
        ("0", "success"),
        ("1", "an export or an engine failed, or the result could not be written"),
        ("2", "usage or bad input; nothing was written"),
        ("3", "a parity gate or a look failed, or no candidate of `tune` respects the bounds"),
        ("4", "an optional package or engine is missing; the message names the extra"),
        ("5", "exported but not verified, under `--strict`"),
        ("130", "interrupted"),
        ("141", "whoever read the output has left"),
    )
    return _page(
        "Errors",
        "Every error that edgeexpo raises on purpose is a class of `edgeexpo.errors`. A message is "
        "one line: what was found, what was expected, and the way out.",
        f"## Exit codes\n\n{table(('code', 'means'), codes)}",
        f"## Classes\n\n{table(('class', 'base', 'exit code', 'meaning'), rows)}",
        '## In JSON\n\nWith `--json`, an error is `{"error": {"type": ..., "message": ...}}` on '
        "stdout. The message is on stderr as well.",
        "## Unforeseen failures\n\nAn exception that no code foresaw is an `InternalError`, or the "
        "error of the stage that it stopped. Its line names a file in the folder for temporary "
        "files, with the trace, the versions and the command. Attach that file to a report. Every "
        "verb takes `--debug`, which prints the trace of any error on stderr.",
    )


def networks() -> str:
    """Every network of the zoo."""
    from edgeexpo.models.cost import count_cost
    from edgeexpo.models.zoo import ALIASES, ENTRIES, get

    side = 512
    rows = []
    for name in ENTRIES:
        entry = get(name)
        shapes = [(1, t.channels, *(t.size or (side, side))) for t in entry.spec.inputs]
        cost = count_cost(entry.build(), shapes)
        rows.append(
            (
                f"`{name}`",
                cell(entry.spec.task),
                ", ".join(entry.spec.frames),
                f"{cost.params:,}",
                f"{cost.macs / 1e9:.3f}",
                "yes" if entry.weights is not None else "no",
                cell(entry.trained_on or ""),
            )
        )
    head = ("name", "does", "frames", "parameters", f"GMACs at {side}", "weights", "trained on")
    aliases = table(
        ("short name", "stands for"), [(f"`{a}`", f"`{b}`") for a, b in ALIASES.items()]
    )
    return _page(
        "Networks",
        "`edgeexpo models` prints this table. Networks without weights can be trained with "
        "`edgeexpo train`. Each that ships has a card in `edgeexpo/models/weights`. GMACs are "
        "billions of multiply-accumulates for a picture of 512x512.",
        f"## Short names\n\n{aliases}",
        f"## All networks\n\n{table(head, rows)}",
    )


def looks() -> str:
    """Every look with its definition, bound and reason."""
    from edgeexpo.evaluation.looks.table import LOOKS

    kinds = {"all": "all", "fusion": "several frames", "correction": "one frame"}
    rows = [
        (
            f"`{look.name}`",
            cell(look.title),
            kinds[look.scope],
            cell(look.definition),
            f"{'>=' if look.at_least else '<='} {look.bound:g} {look.unit}",
            cell(look.reason),
        )
        for look in LOOKS
    ]
    head = ("look", "what is right", "networks", "value", "bound", "why there")
    return _page(
        "Looks",
        "`edgeexpo evaluate --looks` judges pictures by this table. The worst picture decides. "
        "How to use it is in the [evaluation guide](../guides/evaluation.md).",
        table(head, rows),
        "`flat` is judged on probes alone: flat greys. The other probes are a grey ramp "
        "(`neutral`, `weave`) and grey steps (`neutral`, `halos`, `borders`). All bounds are our "
        "judgement: no viewers were asked.",
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": command_line,
    "bundle.md": bundle,
    "python.md": python,
    "errors.md": errors,
    "networks.md": networks,
    "looks.md": looks,
}
"""File name of each generated page, and what writes its text."""


def stale_pages() -> list[str]:
    """File names of the pages that are not what the code says."""
    return [
        name
        for name, text in PAGES.items()
        if not (PAGES_FOLDER / name).is_file() or (PAGES_FOLDER / name).read_text("utf-8") != text()
    ]


def main() -> int:
    """Write the pages, or say which ones are stale."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    if parser.parse_args().check:
        stale = stale_pages()
        for name in stale:
            print(f"docs/reference/{name} is not what the code says: run scripts/reference.py")
        return int(bool(stale))
    for name, text in PAGES.items():
        (PAGES_FOLDER / name).write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
