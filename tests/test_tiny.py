"""The whole path in under a minute: export, verify, load, run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.cli import main
from edgeexpo.parity.metrics.pictures import psnr
from edgeexpo.runtime import load
from tests.support.pictures import smooth_picture

pytestmark = pytest.mark.processor


def test_export_verify_run(exported, capsys):
    bundle = Bundle.open(exported)
    bundle.verify()
    assert bundle.manifest.status == "verified"
    assert len(bundle.manifest.artifacts) == 6
    picture = smooth_picture(130, 170)
    found = {}
    for target in ("onnx", "executorch"):
        for precision in ("fp32", "int8"):
            with load(exported, target=target, precision=precision) as session:
                found[target, precision] = session(picture)
                assert found[target, precision].shape == picture.shape
    np.testing.assert_allclose(found["onnx", "fp32"], found["executorch", "fp32"], atol=1e-5)
    assert psnr(found["onnx", "fp32"], found["onnx", "int8"]) > 40
    assert psnr(found["onnx", "int8"], found["executorch", "int8"]) > 60
    assert main(["inspect", str(exported), "--json"]) == 0
    json.loads(capsys.readouterr().out)
