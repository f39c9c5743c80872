"""Names and paths that are not there are refused at once, before torch is imported."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edgeexpo.cli import main

REFUSED = {
    "export nosuch": "unknown model 'nosuch'",
    "export kdfusin": "did you mean 'kdfusion'?",
    "export nowhere.py:net": "no file at nowhere.py; expected path/to/net.py:factory",
    "export nowhere.pt2": "no file at nowhere.pt2; expected a program of torch.export.save",
    "export lrl --calib nowhere": "no folder at nowhere, which --calib names",
    "export lrl --images nowhere": "no folder at nowhere, which --images names",
    "export lrl --weights nowhere": "no weights at nowhere, which --weights names",
    "parity nowhere": "no bundle at nowhere",
    "debug nowhere": "no bundle at nowhere",
    "bench nowhere": "no bundle at nowhere",
    "run nowhere x.png -o y.png": "no bundle at nowhere",
    "evaluate nosuch --data .": "unknown model 'nosuch'",
    "evaluate exponet --data nowhere": "no folder at nowhere, which --data names",
    "train kdfusion --data nowhere": "no folder at nowhere, which --data names",
    "prune nosuch": "unknown model 'nosuch'",
    "tune nosuch": "unknown model 'nosuch'",
    "sensitivity nosuch": "unknown model 'nosuch'",
    "quantize nosuch": "unknown model 'nosuch'",
}
"""Command lines, each with a part of its error."""

SCRIPT = """
import json, sys
from edgeexpo.cli import main
heavy = {}
for line in json.load(sys.stdin):
    main(line.split())
    heavy[line] = sorted({"torch", "onnxruntime", "PIL", "skimage"} & set(sys.modules))
print(json.dumps(heavy))
"""


@pytest.mark.parametrize(("line", "part"), REFUSED.items())
def test_what_is_not_there_is_named(capsys, line, part) -> None:
    assert main(line.split()) in (1, 2)
    assert part in capsys.readouterr().err


def test_no_refusal_imports_a_framework() -> None:
    made = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(list(REFUSED)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(made.stdout.splitlines()[-1]) == {line: [] for line in REFUSED}
