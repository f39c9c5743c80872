"""The benchmark of mutated commands: what counts as a bug, and its tables."""

from __future__ import annotations

import json

import pytest

from edgeexpo.testing.mutated.trial import Trial
from tests.support.benchmarks import benchmark

ERROR = "edgeexpo: error: no file\n"
OLD, NEW = {"a.png": (3, 1), "photos": (-1, 0)}, (5, 2)


@pytest.fixture(scope="module")
def script():
    return benchmark("mutated_commands")


def found(script, words=("run", "own"), **facts):
    ended = {"code": 2, "escaped": "", "stdout": "", "stderr": ERROR, "before": OLD, "after": OLD}
    return script["problems"](Trial(0, "", words, ()), script["Ended"](**{**ended, **facts}))


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (("run",), {}),
        (("run",), {"code": 0, "stderr": ""}),
        (("run",), {"code": 0, "stderr": "", "after": {**OLD, "out.png": NEW}}),
        (("run",), {"code": 1, "stderr": f"edgeexpo: skipped\n{ERROR}"}),
        (("run", "--json"), {"stdout": '{"error": 1}'}),
        (("inspect", "own"), {"stdout": "damaged", "stderr": ""}),
        (("export", "--help", "--json"), {"code": 0, "stderr": "", "stdout": "usage"}),
    ],
)
def test_what_a_command_may_do_is_no_bug(script, words, facts):
    assert found(script, words, **facts) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"code": None, "escaped": "KeyError: 'x'"}, "KeyError: 'x' escaped"),
        ({"code": 7}, "exit code 7"),
        ({"stderr": f"Traceback (most recent call last):\n{ERROR}"}, "a traceback"),
        ({"stderr": "edgeexpo: error: unforeseen KeyError\n"}, "that nothing foresaw"),
        ({"stderr": ERROR * 2}, "more than one error's line"),
        ({"stderr": f"{ERROR}  caused by a file\n"}, "no line about the error at the end"),
        ({"stderr": ""}, "no line about the error at the end"),
        ({"code": 0}, "an error and exit code 0"),
        ({"words": ("run", "--json")}, "no JSON document"),
        ({"words": ("run", "--json"), "stdout": '{"psnr": NaN}'}, "no JSON document"),
        ({"after": {**OLD, "out.png": NEW}}, "refused, but written: out.png"),
        ({"after": {**OLD, "a.png": NEW}}, "refused, but written: a.png"),
        ({"code": 1, "after": {**OLD, ".out.partial-1": (-1, 0)}}, "left over: .out.partial-1"),
    ],
)
def test_everything_else_is_a_bug(script, facts, words):
    assert any(words in problem for problem in found(script, **facts))


def test_a_line_that_was_cut_is_tried_again(script, tmp_path):
    file = tmp_path / "results.jsonl"
    lines = [json.dumps(script["dead"](seed, "the process died")) for seed in (4, 2, 7)]
    file.write_text("\n".join([*lines[:2], lines[2][:-9]]))
    assert [line["seed"] for line in script["read"](file)] == [2, 4]


def test_the_tables_count_outcomes_and_name_every_bug(script, capsys):
    script["print_tables"]([script["dead"](4, "the process | died")])
    said = capsys.readouterr().out
    assert "| all | 0 | 0 | 0 | 0 | 1 |" in said
    assert "the process / died" in said
