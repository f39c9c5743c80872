"""Exceptions of libraries and of a user's module as one line: operator, line, way out."""

from __future__ import annotations

import re

import pytest
import torch

from edgeexpo.errors import ExportError, ModuleError
from edgeexpo.program.capture import Program, capture
from edgeexpo.program.stages import by_values, reason, stage
from edgeexpo.spec import TensorSpec
from tests.support.networks import Residual


@pytest.fixture(scope="module")
def tiny() -> Program:
    return capture(Residual(4), (TensorSpec("y0"),), (TensorSpec("y_hat"),), (32, 32))


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as found:
        return found


def test_a_typed_error_passes_unchanged() -> None:
    error = ExportError("no operator")
    with pytest.raises(ExportError) as found, stage("lowering", "replace it"):
        raise error
    assert found.value is error
    assert not hasattr(error, "__notes__")


def test_another_error_becomes_one_line_with_the_advice_and_a_note() -> None:
    with pytest.raises(ModuleError) as found, stage("tracing", "replace it", kind=ModuleError):
        raise KeyError("size")
    assert re.fullmatch(
        r"tracing failed: KeyError: 'size' \(at test_stages.py:\d+\); replace it", str(found.value)
    )
    (note,) = found.value.__notes__
    assert "the trace is in" in note


def test_the_node_that_a_message_names_is_found(tiny: Program) -> None:
    graph = tiny.exported.graph_module
    text = reason(raised(RuntimeError("While executing %conv2d_1 : [num_users=1]\nmore")), graph)
    assert re.search(r"\(aten\.conv2d\.default at \w+\.py:\d+\)$", text)
    assert "more" not in text


@pytest.mark.parametrize("wrong", [torch.zeros(1, 5, 32, 32), "a text"])
def test_the_operator_at_which_a_traced_module_fails_is_found(
    tiny: Program, wrong: object, capfd: pytest.CaptureFixture[str]
) -> None:
    graph = tiny.exported.graph_module
    unguarded = torch.fx.GraphModule(graph, graph.graph)
    values = [*(torch.zeros(1) for _ in range(6)), wrong]
    with (
        pytest.raises(ExportError, match=r"\(aten\.conv2d\.default at networks.py:\d+\); leave"),
        stage("calibrating", "leave it", graph),
    ):
        unguarded(*values)
    assert capfd.readouterr().err == ""


def test_a_failure_of_plain_python_inside_a_traced_module_prints_no_trace(
    capfd: pytest.CaptureFixture[str],
) -> None:
    traced = torch.fx.symbolic_trace(lambda x: x // 0)
    with pytest.raises(ExportError, match="ZeroDivisionError"), stage("running", "leave it"):
        traced(1)
    assert capfd.readouterr().err == ""
    with pytest.raises(ZeroDivisionError):  # outside, torch is as it was
        traced(1)
    assert "Traceback" in capfd.readouterr().err


def test_the_deepest_cause_is_told() -> None:
    error = RuntimeError("An error occurred when running a pass")
    error.__cause__ = ValueError("channels are 4, not 16")
    assert reason(error) == "ValueError: channels are 4, not 16"


class Branch(torch.nn.Module):
    def forward(self, y0: torch.Tensor) -> torch.Tensor:
        return y0 if y0.mean() > 0.5 else 1 - y0


def test_a_branch_on_values_is_recognised() -> None:
    with pytest.raises(RuntimeError) as found:
        torch.export.export(Branch(), (torch.zeros(1, 3, 16, 16),))
    assert by_values(found.value)
    assert reason(found.value).startswith("it depends on the values of the picture (at test_stages")
    assert not by_values(raised(RuntimeError("shape mismatch")))


def test_an_exception_that_cannot_be_printed_is_told_by_its_kind() -> None:
    class SilentError(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert reason(raised(SilentError())).startswith("SilentError (at test_stages.py")
