"""The zoo is compared with the GPU by ``pytest -m cuda`` on a host with a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.models import zoo
from edgeexpo.parity import check_parity
from edgeexpo.parity.golden import read_golden, replace_golden
from edgeexpo.parity.recording import compared_with_cpu, record, recorded_probes
from edgeexpo.workflows.export import export_bundle

SHIPPED = sorted(zoo.shipped())

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this host"),
]


@pytest.fixture(scope="module", params=SHIPPED)
def bundle(request, tmp_path_factory):
    """Export a float bundle of every shipped network; the export was judged on the GPU already."""
    folder = tmp_path_factory.mktemp(request.param) / "bundle"
    return export_bundle(
        request.param, targets=("all",), precision="fp32", size=(128, 128), output=folder
    )


def test_every_float_artefact_shows_what_the_gpu_shows(bundle):
    report = check_parity(bundle, reference="cuda")
    assert report.reference.device == "cuda"
    assert {a.file: a.error for a in report.artifacts if not a} == {}


def test_gpu_and_cpu_agree(bundle):
    _, ruling = compared_with_cpu(bundle, record(bundle, "cuda", [], recorded_probes(bundle)))
    assert ruling.agree, ruling


def test_the_gpu_repeats_itself_and_its_recording_says_what_it_was(bundle):
    first, second = (record(bundle, "cuda", [], recorded_probes(bundle)) for _ in range(2))
    for name, output in first.outputs.items():
        np.testing.assert_array_equal(output, second.outputs[name])
    replace_golden(bundle, first)
    device = read_golden(Bundle.open(bundle.path)).device
    assert device.name == torch.cuda.get_device_name()
    assert {"driver", "cuda", "cudnn", "torch", "flags"} <= set(device.details)
    Bundle.open(bundle.path).verify()
