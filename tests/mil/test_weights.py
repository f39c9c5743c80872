"""Tests that the interpreter reads compressed weights of real packages as coremltools does.

``coremltools.optimize`` makes the packages. Its ``decompress_weights`` gives the expected values.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgeexpo.export.coreml_export import export_coreml
from edgeexpo.mil.interpreter import MilEngine
from edgeexpo.program.capture import capture
from edgeexpo.silence import quiet
from edgeexpo.spec import TensorSpec

SIDE = 16


class Net(nn.Module):
    """A 3x3 and a pointwise convolution with enough channels for blocks and vectors."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.last = nn.Conv2d(32, 4, 1)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)))


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Return two float32 packages of one network, for iOS 17 and for iOS 18."""
    folder = tmp_path_factory.mktemp("float")
    torch.manual_seed(0)
    program = capture(Net().eval(), (TensorSpec("x"),), (TensorSpec("y"),), (SIDE, SIDE))
    export_coreml(program, folder / "17.mlpackage")
    with quiet():
        import coremltools as ct

        newer = ct.convert(
            program.exported.run_decompositions({}),
            inputs=[ct.TensorType(name="x", shape=(1, 3, SIDE, SIDE))],
            outputs=[ct.TensorType(name="y")],
            minimum_deployment_target=ct.target.iOS18,
            compute_precision=ct.precision.FLOAT32,
            skip_model_load=True,
        )
        newer.save(str(folder / "18.mlpackage"))
    return folder


def linear(optimize, **options):
    config = optimize.OpLinearQuantizerConfig(weight_threshold=0, **options)
    return lambda model, joint: optimize.linear_quantize_weights(
        model, optimize.OptimizationConfig(global_config=config), joint_compression=joint
    )


def palette(optimize, **options):
    config = optimize.OpPalettizerConfig(weight_threshold=0, **options)
    return lambda model, joint: optimize.palettize_weights(
        model, optimize.OptimizationConfig(global_config=config), joint_compression=joint
    )


def pruned(optimize, **options):
    config = optimize.OpMagnitudePrunerConfig(weight_threshold=0, **options)
    return lambda model, joint: optimize.prune_weights(
        model, optimize.OptimizationConfig(global_config=config), joint_compression=joint
    )


KINDS = {
    "affine": ("17", [(linear, {"mode": "linear"})], {"affine_dequantize"}),
    "affine_symmetric": ("17", [(linear, {})], {"affine_dequantize"}),
    "palette_4": ("17", [(palette, {"nbits": 4, "mode": "uniform"})], {"lut_to_dense"}),
    "palette_6": ("17", [(palette, {"nbits": 6, "mode": "uniform"})], {"lut_to_dense"}),
    "sparse": ("17", [(pruned, {"target_sparsity": 0.7})], {"sparse_to_dense"}),
    "channels_8": (
        "18",
        [(linear, {"granularity": "per_channel", "mode": "linear"})],
        {"blockwise_shift_scale"},
    ),
    "blocks_4": (
        "18",
        [(linear, {"granularity": "per_block", "block_size": 8, "dtype": "int4"})],
        {"blockwise_shift_scale"},
    ),
    "palette_groups_3": (
        "18",
        [
            (
                palette,
                {
                    "nbits": 3,
                    "mode": "uniform",
                    "granularity": "per_grouped_channel",
                    "group_size": 2,
                },
            )
        ],
        {"lut_to_dense"},
    ),
    "palette_1": ("18", [(palette, {"nbits": 1, "mode": "uniform"})], {"lut_to_dense"}),
    "palette_vectors": (
        "18",
        [(palette, {"nbits": 2, "mode": "kmeans", "cluster_dim": 4})],
        {"lut_to_dense"},
    ),
    "sparse_bits": ("18", [(pruned, {"target_sparsity": 0.6})], {"sparse_to_dense"}),
    "palette_of_int8": (
        "18",
        [(palette, {"nbits": 4, "mode": "uniform"}), (linear, {"granularity": "per_tensor"})],
        {"lut_to_dense", "blockwise_shift_scale"},
    ),
    "sparse_palette": (
        "18",
        [(pruned, {"target_sparsity": 0.6}), (palette, {"nbits": 4, "mode": "uniform"})],
        {"lut_to_sparse", "sparse_to_dense"},
    ),
    "sparse_blocks": (
        "18",
        [(pruned, {"target_sparsity": 0.6}), (linear, {"granularity": "per_channel"})],
        {"sparse_blockwise_shift_scale", "sparse_to_dense"},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_compressed_weights_are_read_as_written(packages, kind, tmp_path):
    target, steps, forms = KINDS[kind]
    with quiet():
        import coremltools as ct
        import coremltools.optimize.coreml as optimize

        model = ct.models.MLModel(str(packages / f"{target}.mlpackage"), skip_model_load=True)
        for index, (compress, options) in enumerate(steps):
            model = compress(optimize, **options)(model, index > 0)
        model.save(str(tmp_path / "packed.mlpackage"))
        optimize.decompress_weights(model).save(str(tmp_path / "plain.mlpackage"))
    packed, plain, original = MilEngine(), MilEngine(), MilEngine()
    packed.load(tmp_path / "packed.mlpackage")
    plain.load(tmp_path / "plain.mlpackage")
    original.load(packages / f"{target}.mlpackage")
    assert {n.removeprefix("constexpr_") for n in packed.operators if "constexpr" in n} >= forms
    assert not any("constexpr" in n for n in plain.operators)
    x = {"x": np.random.default_rng(0).random((1, 3, SIDE, SIDE), dtype=np.float32)}
    found = packed.run(x)["y"]
    np.testing.assert_allclose(found, plain.run(x)["y"], atol=1e-5)
    assert np.abs(found - original.run(x)["y"]).max() > 1e-5
