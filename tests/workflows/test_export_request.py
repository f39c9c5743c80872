"""Targets, precisions and chips that do not go together are refused before any work."""

from __future__ import annotations

import pytest

from edgeexpo import targets
from edgeexpo.cli import main
from edgeexpo.errors import UsageError
from edgeexpo.workflows import export_request
from edgeexpo.workflows.plan_export import plan_export


@pytest.fixture(autouse=True)
def _converters(monkeypatch):
    """Requests are checked alike where a converter is not installed."""
    monkeypatch.setattr(export_request, "check_converters", lambda chosen: None)


@pytest.mark.parametrize("target", sorted(set(targets.TARGETS) - {"qnn"}))
def test_other_targets_refuse_a16w8_in_one_line(target):
    with pytest.raises(UsageError, match=f"{target} does not support a16w8; expected") as error:
        plan_export("lrl-mobile", targets=target, precision="a16w8")
    assert "\n" not in str(error.value)


def test_hexagon_refuses_float():
    with pytest.raises(UsageError, match="qnn does not support fp16; expected a `precision` of"):
        plan_export("lrl-mobile", targets="qnn", precision="fp16")


def test_an_unknown_chip_is_refused_with_the_nearest_names(capsys):
    arguments = ["export", "lrl-mobile", "--target=qnn", "--soc=sm8560"]
    assert main(arguments) == UsageError.exit_code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "unknown chip 'sm8560'; the nearest names are sm8" in line


def test_a_chip_without_a_target_that_compiles_is_refused(capsys):
    arguments = ["export", "lrl-mobile", "--target=onnx", "--soc=sm8550"]
    assert main(arguments) == UsageError.exit_code
    assert "--soc is for the --target qnn; leave it out" in capsys.readouterr().err
