"""The command line ends as always when its caller closed a standard stream."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


def closed(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = f'exec "$0" -m edgeexpo "$@" {redirection}'
    return subprocess.run(
        ["sh", "-c", line, sys.executable, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", "<&- >&-"])
def test_output_without_a_reader_goes_nowhere(redirection) -> None:
    made = closed(redirection, "--version")
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")


def test_a_document_is_not_written_to_the_other_stream(tmp_path) -> None:
    made = closed(">&-", "inspect", str(tmp_path), "--json")
    assert made.returncode == 2
    assert made.stderr.startswith("edgeexpo: error:")
    assert '"error"' not in made.stderr


def test_standard_output_is_whole_without_standard_error(tmp_path) -> None:
    made = closed("2>&-", "inspect", str(tmp_path), "--json")
    assert made.returncode == 2
    assert json.loads(made.stdout)["error"]["type"] == "BundleError"
