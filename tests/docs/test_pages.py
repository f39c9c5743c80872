"""Tests that the documentation's pages agree with each other and with the code."""

from __future__ import annotations

import argparse
import ast
import importlib
import shlex
from pathlib import Path

import pytest

from edgeexpo.cli import VERBS
from edgeexpo.cli.arguments import Parser
from scripts import reference, sentences
from tests.support.markdown import ROOT, anchors, commands, links, pages, split

PAGES = pages()
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_and_anchor_resolves(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name} links to {target}, which does not exist"
        if anchor:
            assert anchor in anchors(file), f"{page.name} links to {target}; no such heading"


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in navigation, page


def test_the_readme_links_to_every_guide() -> None:
    linked = {(ROOT / target.partition("#")[0]).resolve() for target in links(ROOT / "README.md")}
    assert set((ROOT / "docs" / "guides").glob("*.md")) <= linked


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_shown_command_has_a_verb_and_options_that_exist(page: Path) -> None:
    for block in split(page)[1]:
        for command in commands(block) if block.language == "sh" else ():
            verb, *words = shlex.split(command)[1:]
            if verb.startswith("-"):
                continue
            assert verb in VERBS, f"{page.name}:{block.line}: {command}"
            known = _options(verb)
            for option in (w.partition("=")[0] for w in words if w.startswith("-")):
                assert option in known, f"{page.name}:{block.line}: {command}: {option}"


def _options(verb: str) -> set[str]:
    parser: argparse.ArgumentParser = Parser(prog=verb)
    importlib.import_module(VERBS[verb][0]).add_arguments(parser)
    return {name for action in parser._actions for name in action.option_strings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_shown_program_is_python(page: Path) -> None:
    for block in split(page)[1]:
        if block.language == "python" and page.name != "python.md":
            compile(block.text, f"{page}:{block.line}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_generated_reference_is_what_the_code_says(name: str) -> None:
    written = (reference.PAGES_FOLDER / name).read_text("utf-8")
    assert written == reference.PAGES[name](), "run: python scripts/reference.py"


def test_every_key_of_the_bundle_has_a_meaning() -> None:
    lines = (reference.PAGES_FOLDER / "bundle.md").read_text("utf-8").splitlines()
    assert [line for line in lines if line.endswith("|  |")] == []


def test_no_sentence_of_readme_guides_and_references_is_too_long() -> None:
    assert sentences.too_long(sentences.pages()) == []


def test_a_sentence_that_is_too_long_is_found_in_text_items_and_tables() -> None:
    long = " ".join(["word"] * 31)
    text = f"Short. {long}.\n\n- {long}\n\n| a | {long} |\n\n```\n{long}\n```\n"
    found = [line for line, sentence in sentences.sentences(text) if sentences.words(sentence) > 30]
    assert found == [1, 3, 5]
