"""Float operators of a quantised model get 16-bit codes and mean the same."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgeexpo.chips import chip_named
from edgeexpo.export.onnx_sixteen import sixteen_bits
from edgeexpo.runtime.engines import qnn
from edgeexpo.runtime.engines.onnx import run_once
from tests.support.htp import need_htp

CODES = ("QuantizeLinear", "DequantizeLinear")


def net():
    """A quantised copy of the picture, then a float convolution, a sigmoid and a product."""
    rng = np.random.default_rng(0)
    constants = {
        "scale": np.float32(1 / 255),
        "zero": np.uint8(0),
        "weight": rng.normal(size=(3, 3, 3, 3)).astype(np.float32),
        "two": np.float32([2.0]),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], name="d"),
        helper.make_node("Conv", ["d", "weight"], ["c"], pads=[1, 1, 1, 1], name="conv"),
        helper.make_node("Sigmoid", ["c"], ["s"], name="sigmoid"),
        helper.make_node("Mul", ["s", "two"], ["m"], name="mul"),
        helper.make_node("Add", ["m", "x"], ["y"], name="add"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [value("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
        [value("y", onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def pictures():
    return [
        {"x": np.random.default_rng(s).random((1, 3, 8, 8), dtype=np.float32)} for s in range(3)
    ]


@pytest.fixture
def rounded():
    model = net()
    changed = sixteen_bits(model, pictures(), {"x": (0.0, 1.0)})
    return model, changed


def test_it_computes_the_same_to_the_noise_of_sixteen_bits(rounded):
    model, _ = rounded
    onnx.checker.check_model(model, full_check=True)
    for picture in pictures():
        expected = run_once(net().SerializeToString(), picture)["y"]
        found = run_once(model.SerializeToString(), picture)["y"]
        error = np.sqrt(np.mean((found - expected) ** 2))
        assert 0 < error < 3e-4


def test_no_operator_reads_or_gives_a_float_value_without_codes(rounded):
    model, changed = rounded
    assert changed == ["conv", "sigmoid", "mul", "add"]
    made = {o: n.op_type for n in model.graph.node for o in n.output}
    after = [
        [r.op_type for r in model.graph.node if n.output[0] in r.input]
        for n in model.graph.node
        if n.op_type not in CODES
    ]
    assert after == [["QuantizeLinear"]] * 4
    for node in (n for n in model.graph.node if n.op_type not in CODES):
        assert {made.get(name) for name in node.input} == {"DequantizeLinear"}


def test_nodes_that_are_left_stay_in_float():
    model = net()
    assert sixteen_bits(model, pictures(), {"x": (0.0, 1.0)}, {"sigmoid"}) == ["conv", "mul", "add"]
    onnx.checker.check_model(model, full_check=True)


def test_without_pictures_nothing_changes():
    model = net()
    assert sixteen_bits(model, [], {"x": (0.0, 1.0)}) == []
    assert model == net()


def test_a_clipped_picture_stays_within_its_bounds_on_the_htp():
    """The HTP drops the Clip, so that the codes themselves may not go beyond it."""
    need_htp()
    model = net()
    model.graph.node[-1].output[0] = "sum"
    bounds = [numpy_helper.from_array(np.float32(v), n) for n, v in (("low", 0), ("high", 1))]
    model.graph.initializer.extend(bounds)
    model.graph.node.append(helper.make_node("Clip", ["sum", "low", "high"], ["y"], name="clip"))
    sixteen_bits(model, pictures(), {"x": (0.0, 1.0)})
    session = qnn._session(model.SerializeToString(), qnn.htp_options(chip_named(None), {}))
    (found,) = session.run(["y"], pictures()[0])
    expected = run_once(model.SerializeToString(), pictures()[0])["y"]
    assert expected.max() == 1.0
    assert abs(float(found.max()) - 1) < 1e-6
    np.testing.assert_allclose(found, expected, atol=5e-3)
