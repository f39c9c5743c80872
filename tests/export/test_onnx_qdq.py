"""Tests of the form of QDQ pairs that ONNX Runtime fuses, with weights that are exact anywhere."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgeexpo.export.onnx_export import export_onnx
from tests.support.benchmarks import benchmark


@pytest.fixture(scope="module")
def path(quantized, tmp_path_factory):
    file = tmp_path_factory.mktemp("qdq") / "net.int8.onnx"
    export_onnx(quantized, file)
    return file


@pytest.fixture(scope="module")
def stored(path):
    """Return the file's graph, and its stored tensors by name."""
    graph = onnx.load(path).graph
    return graph, {i.name: numpy_helper.to_array(i) for i in graph.initializer}


def test_activations_are_unsigned_and_weights_signed_and_symmetric(stored):
    graph, values = stored
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        if node.input[0] not in values:
            assert values[node.input[2]].dtype == np.uint8
        elif values[node.input[0]].ndim == 4:
            assert values[node.input[0]].dtype == np.int8
            assert values[node.input[0]].min() >= -127
            assert not values[node.input[2]].any()


def test_every_stored_tensor_has_a_zero_point_of_its_own(stored):
    graph, values = stored
    dequantised = [n for n in graph.node if n.op_type == "DequantizeLinear"]
    zeros = Counter(n.input[2] for n in dequantised if n.input[0] in values)
    assert len(zeros) >= 3
    assert set(zeros.values()) == {1}


def test_exact_kernels_compute_what_unsigned_weights_compute(path, pictures):
    script = benchmark("onnx_weights")
    unsigned, session = script["unsigned"](path), script["session"]
    x = {"y0": np.ascontiguousarray(pictures[0]["y0"].transpose(2, 0, 1)[None])}
    found = session(path.read_bytes(), exact=True).run(None, x)[0]
    expected = session(unsigned, exact=False).run(None, x)[0]
    np.testing.assert_array_equal(found, expected)
