"""The benchmark of generated modules goes on where it was stopped, and lists bugs by seed."""

from __future__ import annotations

import json

import pytest

from tests.support.benchmarks import benchmark


@pytest.fixture(scope="module")
def script():
    return benchmark("generated_modules")


def test_a_line_that_was_cut_is_tried_again(script, tmp_path):
    file = tmp_path / "results.jsonl"
    lines = [json.dumps(script["dead"](seed, "the process died")) for seed in (4, 2, 7)]
    file.write_text("\n".join([*lines[:2], lines[2][:-9]]))
    assert [found["seed"] for found in script["read"](file)] == [2, 4]


def test_the_tables_count_outcomes_and_name_each_bug_once(script, capsys):
    script["print_tables"]([script["dead"](4, "the process | died")])
    said = capsys.readouterr().out
    assert "| coreml | int8 | 0 | 0 | 0 | 1 |" in said
    assert said.count("the process / died") == 1
    assert said.count("| 4 | ") == 1
