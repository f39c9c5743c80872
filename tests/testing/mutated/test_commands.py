"""Commands of the trials are valid, their mutations keep them short, sources are Python."""

from __future__ import annotations

import argparse
import importlib

import numpy as np
import pytest

from edgeexpo.cli import VERBS
from edgeexpo.cli.arguments import Parser
from edgeexpo.testing.mutated import sources
from edgeexpo.testing.mutated.arguments import COSTLY, SMALL, mutate_words
from edgeexpo.testing.mutated.commands import COMMANDS, MADE, SOON

LINES = [line.split() for line in (*MADE, *(command.line for command in COMMANDS))]


def parsed(words: list[str]) -> argparse.Namespace:
    parser = Parser()
    importlib.import_module(VERBS[words[0]][0]).add_arguments(parser)
    return parser.parse_args(words[1:])


@pytest.mark.parametrize("words", [w for w in LINES if w[0] in VERBS and "--help" not in w])
def test_every_command_is_valid(words):
    assert parsed(words)


def test_every_verb_has_a_command():
    assert {words[0] for words in LINES} >= set(VERBS)


@pytest.mark.parametrize("words", [words for words in LINES if set(words) & set(COSTLY)][:20])
def test_mutations_keep_the_options_that_make_a_command_short(words):
    for seed in range(200):
        random = np.random.default_rng(seed)
        changed, said = mutate_words(words, random, [("--force", False)], SOON, ["a.png"])
        assert said
        for at, word in enumerate(words):
            if word in COSTLY and word in changed and not said.startswith("'"):
                value = changed[changed.index(word) + 1]
                kept = value == words[at + 1] or value in (*SMALL, "a.png")
                assert kept or value.startswith(words[at + 1]) or len(value) <= len(words[at + 1])


@pytest.mark.parametrize("table", [sources.FORWARDS, sources.FACTORIES])
def test_sources_with_another_forward_or_factory_are_python(table):
    for kind, body in table.items():
        changed = {"forward" if table is sources.FORWARDS else "factory": body}
        compile(sources.source(**changed), kind, "exec")
