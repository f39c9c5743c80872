"""Tests of the choice of operators that Core ML computes in float32."""

from __future__ import annotations

from types import SimpleNamespace

from edgeexpo.export.coreml_precision import Float32Operators


def chain(*kinds):
    """Return operators of a block that read one another in order, the last one the output."""
    block = SimpleNamespace(outputs=[])
    operators = []
    for index, kind in enumerate(kinds):
        output = SimpleNamespace(child_ops=[])
        operator = SimpleNamespace(
            op_type=kind, name=f"{kind}_{index}", outputs=[output], enclosing_block=block
        )
        if operators:
            operators[-1].outputs[0].child_ops.append(operator)
        operators.append(operator)
    block.outputs.append(operators[-1].outputs[0])
    return operators


def float32(*kinds):
    exact = Float32Operators()
    return [exact(operator) for operator in chain(*kinds)]


def test_what_is_compared_is_exact_from_the_last_convolution_on():
    kinds = ("conv", "relu", "conv", "max_pool", "equal", "cast", "conv")
    assert float32(*kinds) == [False, False, True, True, True, False, False]


def test_a_quantised_value_hides_the_order_of_what_it_is_made_of():
    kinds = ("conv", "quantize", "dequantize", "reduce_argmax", "conv")
    assert float32(*kinds) == [False, False, True, True, False]


def test_a_tail_is_exact():
    assert float32("conv", "relu", "conv", "mul", "clip") == [False, False, False, True, True]
