"""Clean artefacts pass the parity check, and each fault is caught by its gate."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import BundleError, MissingDependencyError, UsageError
from edgeexpo.imaging.samples import Sample
from edgeexpo.parity import check as module
from edgeexpo.parity import check_parity
from edgeexpo.parity.cases import program_cases
from edgeexpo.runtime.engines.base import open_engine

pytestmark = pytest.mark.usefixtures("small_probes")


def smooth(seed, side=64):
    from tests.support.pictures import smooth_picture

    return (np.rint(smooth_picture(side, side, seed) * 255) / 255).astype(np.float32)


@pytest.fixture(scope="module")
def samples():
    return [Sample(f"picture{i}", (smooth(i),), None) for i in range(2)]


@pytest.fixture(scope="module", autouse=True)
def references_made_once():
    """Run the programs of a bundle once for all tests that take the same pictures."""
    made = {}

    def once(bundle, device, images, samples, integer):
        key = (bundle.path, device, images, tuple(map(id, samples or ())), integer)
        if key not in made:
            made[key] = *program_cases(bundle, device, images, samples, integer), samples
        return made[key][:2]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "program_cases", once)
        yield


def with_fault(fault):
    """Return an ``open_engine`` whose engine passes its output through ``fault``."""

    def opened(target, path, spec):
        engine = open_engine(target, path, spec)
        run = engine.run

        def faulty(inputs):
            return {name: fault(value) for name, value in run(inputs).items()}

        engine.run = faulty
        return engine

    return opened


@pytest.fixture(scope="module")
def report(exported, samples):
    return check_parity(exported, samples=samples)


def test_clean_artefacts_pass(report):
    assert report
    assert [a.status for a in report.artifacts] == ["verified"] * 6
    assert {a.verified_by for a in report.artifacts} == {
        "onnxruntime",
        "executorch",
        "mil-interpreter",
    }
    assert report.noise_floor is not None
    assert report.noise_floor > 40


def test_the_record_is_json_with_the_promised_keys(report):
    record = json.loads(json.dumps(report.to_dict()))
    assert record["passed"] is True
    assert set(record["reference"]) >= {"device", "name", "dtype"}
    row = record["artifacts"][0]
    assert {"file", "target", "precision", "passed", "verified_by", "failed_gates"} <= set(row)
    assert {"psnr", "ssim", "max_abs", "delta_e_p99"} <= set(row["worst"])
    assert len(row["per_input"]) == 2 + 16 + 2


FAULTS = {
    "channels swapped": (lambda y: y[:, ::-1].copy(), "channel_order"),
    "shifted by a pixel": (lambda y: np.roll(y, 1, axis=3), "pixel_shift"),
    "tinted": (
        lambda y: np.clip(y * np.array([1.08, 1, 0.92], np.float32)[:, None, None], 0, 1),
        "color_cast",
    ),
    "banded": (lambda y: np.rint(y * 63) / 63, "banding"),
    "not a number": (lambda y: np.where(y > y.max() * 0.999, np.nan, y), "nonfinite"),
    "flipped": (lambda y: y[:, :, :, ::-1].copy(), "orientation"),
    "half": (lambda y: y * 0.5, "contrast_change"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught_by_its_gate(exported, samples, monkeypatch, name):
    fault, metric = FAULTS[name]
    monkeypatch.setattr(
        module, "open_lab_engine", with_fault(lambda y: fault(y).astype(np.float32))
    )
    report = check_parity(exported, samples=samples, target="onnx", precision="int8")
    assert not report
    assert report.artifacts[0].failed_gates[0].startswith(metric)


def test_a_transposed_output_is_refused_with_its_size(exported, samples, monkeypatch):
    monkeypatch.setattr(
        module, "open_lab_engine", with_fault(lambda y: y.swapaxes(2, 3)[:, :, :-1])
    )
    report = check_parity(exported, samples=samples, target="onnx", precision="int8")
    assert report.artifacts[0].status == "failed"
    assert "its manifest promises 64x64" in report.artifacts[0].error


def test_noise_alone_proves_nothing(exported, samples, tmp_path):
    from PIL import Image

    random = np.random.default_rng(0)
    for index in range(2):
        codes = random.integers(0, 256, (80, 90, 3), np.uint8)
        Image.fromarray(codes).save(tmp_path / f"noise{index}.png")
    with pytest.raises(UsageError, match="all 2 pictures are random noise"):
        check_parity(exported, images=tmp_path)
    noise = Sample("noise", (random.random((64, 64, 3), dtype=np.float32),), None)
    mixed = [samples[0], noise]
    report = check_parity(exported, samples=mixed, target="onnx", precision="fp32")
    assert len(report.cases) == 2 + 16 + 2


def test_a_correction_of_nothing_is_caught(exported, samples, monkeypatch):
    """The picture is near the reference, but the network's correction is gone."""

    def identity(target, path, spec):
        engine = open_engine(target, path, spec)
        engine.run = lambda inputs: {"y_hat": inputs["y0"]}
        return engine

    monkeypatch.setattr(module, "open_lab_engine", identity)
    report = check_parity(exported, samples=samples, target="onnx", precision="int8")
    assert any(g.startswith("correction_snr") for g in report.artifacts[0].failed_gates)


def test_damage_by_lowering_is_caught_below_the_float_bound(exported, samples, monkeypatch):
    """The 40 dB bound accepts this noise, but it exceeds the cost of quantisation itself."""
    random = np.random.default_rng(0)
    noisy = with_fault(lambda y: y + 0.007 * random.standard_normal(y.shape).astype(np.float32))
    monkeypatch.setattr(module, "open_lab_engine", noisy)
    report = check_parity(exported, samples=samples, target="onnx", precision="int8")
    assert report.artifacts[0].worst["psnr"] > 40
    assert any("quantized" in g for g in report.artifacts[0].failed_gates)


def test_an_engine_that_is_missing_leaves_the_artefact_unverified(exported, samples, monkeypatch):
    def missing(*_):
        raise MissingDependencyError("no engine here")

    monkeypatch.setattr(module, "open_lab_engine", missing)
    report = check_parity(exported, samples=samples, target="onnx")
    assert report.passed
    assert {a.status for a in report.artifacts} == {"unverified"}
    assert report.artifacts[0].error == "no engine here"


def test_recorded_references_need_no_program(exported):
    report = check_parity(exported, reference="golden", target="onnx", precision="fp32")
    assert report
    assert report.reference.device in ("cpu", "cuda")
    with pytest.raises(UsageError, match="leave `images` out"):
        check_parity(exported, reference="golden", images="anywhere")


def test_a_changed_byte_is_refused(exported, samples, tmp_path):
    import shutil

    copy = tmp_path / "bundle"
    shutil.copytree(exported, copy)
    program = bytearray((copy / "reference.pt2").read_bytes())
    program[len(program) // 2] ^= 1
    (copy / "reference.pt2").write_bytes(program)
    with pytest.raises(BundleError, match="was changed after the export"):
        check_parity(copy, samples=samples)


def test_a_gate_of_the_callers_replaces_the_bound(exported, samples):
    from edgeexpo.parity.gates import parse_gate

    strict = [parse_gate("psnr>=119")]
    report = check_parity(exported, samples=samples, target="onnx", precision="int8", gates=strict)
    assert any(g.startswith("psnr>=119") for g in report.artifacts[0].failed_gates)


def test_the_bundle_keeps_the_record(exported):
    manifest = Bundle.open(exported).manifest
    assert manifest.parity["passed"] is True
    assert manifest.noise_floor == manifest.parity["noise_floor"]
    Bundle.open(exported).verify()
