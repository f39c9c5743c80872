"""Recorded references are written in one step and read back unchanged; foreign ones are refused."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from edgeexpo.bundle import files
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import write_manifest
from edgeexpo.errors import BundleError, OutputError
from edgeexpo.parity.cases import golden_cases
from edgeexpo.parity.golden import Device, Golden, read_golden, replace_golden
from tests.support.tiny_bundle import write_bundle

DEVICE = Device("cuda", "a GPU", details={"driver": "570.1", "torch": "2.13.0"})


def pictures(side=32, channels=3):
    random = np.random.default_rng(0)
    return {
        name: random.random((side, side + 8, channels), dtype=np.float32)
        for name in ("folder/sea", "ramps")
    }


def golden(**changes):
    inputs = {name: {"y0": picture} for name, picture in pictures().items()}
    whole = Golden(inputs, pictures(), DEVICE, ("ramps",))
    return dataclasses.replace(whole, **changes)


@pytest.fixture
def bundle(tmp_path):
    return Bundle.open(write_bundle(tmp_path / "bundle"))


def test_what_is_written_is_read(bundle):
    replaced = replace_golden(bundle, golden())
    replaced.verify()
    found = read_golden(Bundle.open(bundle.path))
    assert found.device == DEVICE
    assert found.probes == ["ramps"]
    for name, sample in golden().inputs.items():
        np.testing.assert_array_equal(found.inputs[name]["y0"], sample["y0"])
        np.testing.assert_array_equal(found.outputs[name], golden().outputs[name])
    assert replaced.manifest.artifacts == bundle.manifest.artifacts


def test_probes_stay_probes(bundle):
    cases, device = golden_cases(replace_golden(bundle, golden()))
    assert {c.name: c.kind for c in cases} == {"folder/sea": "photograph", "ramps": "probe"}
    assert device == DEVICE


def test_a_second_recording_takes_the_place_of_the_first(bundle):
    first = replace_golden(bundle, golden())
    device = Device("cpu", "CPU")
    replace_golden(first, golden(device=device)).verify()
    assert read_golden(Bundle.open(bundle.path)).device == device


def test_an_interrupted_recording_leaves_the_bundle_as_it_was(bundle, monkeypatch):
    before = replace_golden(bundle, golden())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OutputError, match="disk is full"):
        replace_golden(before, golden(device=Device("cpu", "CPU")))
    monkeypatch.undo()
    after = Bundle.open(bundle.path)
    after.verify()
    assert read_golden(after).device == DEVICE
    assert [p.name for p in bundle.path.parent.iterdir()] == ["bundle"]


STRANGERS = {
    "another input": golden(inputs={n: {"dark": p} for n, p in pictures().items()}),
    "one input more": golden(inputs={n: {"y0": p, "y1": p} for n, p in pictures().items()}),
    "other channels": golden(
        inputs={n: {"y0": p} for n, p in pictures(channels=1).items()},
        outputs=pictures(channels=1),
    ),
    "outputs of one channel": golden(outputs=pictures(channels=1)),
    "an output is missing": golden(outputs={"ramps": pictures()["ramps"]}),
    "nothing": golden(inputs={}, outputs={}),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_goldens_of_another_model_are_refused(bundle, name):
    replaced = replace_golden(bundle, STRANGERS[name])
    with pytest.raises(BundleError, match="golden pictures of another model; expected inputs y0"):
        read_golden(replaced)


def test_a_bundle_without_a_recording_says_so(bundle):
    with pytest.raises(BundleError, match="no golden outputs"):
        read_golden(bundle)


def relisted(bundle, file, content):
    (bundle.path / file).write_bytes(content)
    files = {**bundle.manifest.files, file: digest(bundle.path / file)}
    write_manifest(bundle.path, dataclasses.replace(bundle.manifest, files=files))
    return Bundle.open(bundle.path)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"gpu": 1}', json.dumps({}).encode()])
def test_a_device_that_is_none_is_refused(bundle, content):
    damaged = relisted(replace_golden(bundle, golden()), "golden/device.json", content)
    with pytest.raises(BundleError, match="does not describe a device"):
        read_golden(damaged)


def test_a_file_of_another_format_is_refused(bundle):
    damaged = relisted(replace_golden(bundle, golden()), "golden/outputs.safetensors", b"pickle")
    with pytest.raises(BundleError, match="is not a safetensors file"):
        read_golden(damaged)


def test_a_changed_byte_is_refused(bundle):
    replaced = replace_golden(bundle, golden())
    path = bundle.path / "golden" / "outputs.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="was changed after the export"):
        read_golden(replaced)


def test_reading_needs_no_torch():
    check = "import sys, edgeexpo.parity.golden; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
