"""Tests that run a page's blocks of code.

The blocks that a page marks as tested run in order, in one empty folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.markdown import ROOT, Block, pages, split

FAST, SLOW = "tested", "tested, slow"
"""Titles of the blocks that run in the fast tier and in the slow tier of the tests."""

PER_PAGE = {page: split(page)[1] for page in pages()}
"""Blocks of code of each page: page -> blocks."""


def marked(*titles: str) -> list[Path]:
    """List the pages that hold a block with one of these titles."""
    return [page for page, blocks in PER_PAGE.items() if any(b.title in titles for b in blocks)]


def run_page(page: Path, folder: Path, *titles: str) -> None:
    """Run the blocks of ``page`` that have one of ``titles``.

    Files that the page shows are written first.
    """
    commands = folder / "bin"
    commands.mkdir()
    for name, call in (("edgeexpo", '-m edgeexpo "$@"'), ("python3", '"$@"')):
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {call}\n')
        (commands / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    work = folder / "work"
    work.mkdir()
    for block in PER_PAGE[page]:
        if block.title.endswith(".py"):
            (work / block.title).write_text(block.text, "utf-8")
        elif block.title in titles:
            _run(page, block, work, environment)


def _run(page: Path, block: Block, work: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{page.name}:{block.line}\n{done.stdout}{done.stderr}"


def test_every_title_of_a_block_is_a_mark_or_a_file_name() -> None:
    titles = {block.title for blocks in PER_PAGE.values() for block in blocks}
    assert all(t in ("", FAST, SLOW) or t.endswith(".py") for t in titles)


@pytest.mark.parametrize("page", marked(FAST), ids=lambda page: page.stem)
def test_blocks_marked_as_tested_run(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path, FAST)


@pytest.mark.slow
@pytest.mark.parametrize("page", marked(SLOW), ids=lambda page: page.stem)
def test_blocks_marked_as_tested_and_slow_run(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path, FAST, SLOW)
