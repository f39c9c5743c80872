"""Malicious bundles are refused in one line, before anything outside them is read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeexpo.bundle import untrusted
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import MANIFEST
from edgeexpo.errors import BundleError, EngineError
from edgeexpo.runtime import FakeEngine, load
from edgeexpo.runtime.engines.base import open_engine
from tests.support.tiny_bundle import write_bundle

ONE = {"frames": ("picture",), "front": None, "back": None}
FRAME = np.full((20, 24, 3), 90, np.uint8)


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "b", **ONE)


def edit(bundle, change):
    data = json.loads((bundle / MANIFEST).read_text("utf-8"))
    change(data)
    (bundle / MANIFEST).write_text(json.dumps(data), "utf-8")


def refused(bundle, words):
    with pytest.raises(BundleError, match=words) as caught:
        load(bundle, engine=FakeEngine(lambda inputs: {"y_hat": inputs["y0"]}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../mean.fp32.onnx", "lies outside the bundle"),
        ("a/../../b", "lies outside the bundle"),
        ("/etc/hostname", "lies outside the bundle"),
        ("..\\mean.fp32.onnx", "not a plain path"),
        ("C:/mean.fp32.onnx", "not a plain path"),
        ("mean.fp32.onnx:stream", "not a plain path"),
        ("mean\0.onnx", "not a plain path"),
        ("mean\n.onnx", "not a plain path"),
        ("\ud800.onnx", "not a plain path"),
        ("a//b", "not a plain path"),
        ("", "not a plain path"),
    ],
)
def test_no_path_leads_out_of_a_bundle(bundle, name, words):
    edit(bundle, lambda m: m["artifacts"][0].update(file=name))
    refused(bundle, words)


def test_a_name_too_long_for_the_disk_is_refused(bundle):
    edit(bundle, lambda m: m["artifacts"][0].update(file="a" * 5000))
    refused(bundle, "cannot be read: File name too long")


def as_package(bundle):
    """Turn the artefact into a folder with a file in a subfolder."""
    package = bundle / "mean.mlpackage"
    (package / "Data").mkdir(parents=True)
    (bundle / "mean.fp32.onnx").rename(package / "Data" / "weight.bin")
    facts = {"file": package.name, "target": "coreml", "sha256": digest(package)}
    edit(bundle, lambda m: m["artifacts"][0].update(facts))
    return package


def test_links_inside_a_package_are_refused(bundle, tmp_path):
    package = as_package(bundle)
    load(bundle, engine=FakeEngine(dict)).close()
    inner = package / "Data" / "weight.bin"
    inner.rename(tmp_path / "weight.bin")
    inner.symlink_to(tmp_path / "weight.bin")  # the digest still matches
    refused(bundle, "holds 'Data/weight.bin', which is neither a file nor a folder")
    shutil.move(package / "Data", tmp_path / "Data")
    (package / "Data").symlink_to(tmp_path / "Data")
    refused(bundle, "holds 'Data', which is neither")


def test_a_package_that_is_a_link_out_of_the_bundle_is_refused(bundle, tmp_path):
    package = as_package(bundle)
    package.rename(tmp_path / "package")
    package.symlink_to(tmp_path / "package")
    refused(bundle, "lies outside the bundle")


def test_a_manifest_that_is_a_link_out_of_the_bundle_is_refused(bundle, tmp_path):
    (bundle / MANIFEST).rename(tmp_path / "other.json")
    (bundle / MANIFEST).symlink_to(tmp_path / "other.json")
    refused(bundle, "lies outside the bundle")


def test_a_link_to_itself_is_refused(bundle):
    file = bundle / "mean.fp32.onnx"
    file.unlink()
    file.symlink_to(file)
    refused(bundle, "is a link to itself")


def test_what_never_ends_is_not_read(bundle):
    file = bundle / "mean.fp32.onnx"
    file.unlink()
    os.mkfifo(file)
    refused(bundle, "neither a file nor a folder")


def test_a_bundle_behind_a_link_opens(bundle, tmp_path):
    (tmp_path / "link").symlink_to(bundle)
    load(tmp_path / "link", engine=FakeEngine(dict)).close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 200_000, "nested deeper than 64"),
        ('{"schema_version": 1, "parity": ' + "[" * 80 + "]" * 80 + "}", "nested deeper than 64"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested deeper than 64"),
        ('{"schema_version": ' + "9" * 5000 + "}", "cannot be read"),
    ],
)
def test_json_that_breaks_parsers_is_refused(bundle, text, words):
    (bundle / MANIFEST).write_text(text, "utf-8")
    refused(bundle, words)


def test_a_huge_manifest_is_not_read_whole(bundle, monkeypatch):
    with (bundle / MANIFEST).open("ab") as stream:
        stream.truncate(1 << 40)  # a sparse file takes no space on the disk
    refused(bundle, "larger than 16 MiB")
    monkeypatch.setattr(untrusted, "LARGEST_JSON", 10)
    with pytest.raises(ValueError, match="larger"):
        untrusted.read_json(bundle / MANIFEST)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(bundle, number):
    edit(bundle, lambda m: m.update(parity={"passed": [{"psnr": "HERE"}]}))
    text = (bundle / MANIFEST).read_text("utf-8").replace('"HERE"', number)
    (bundle / MANIFEST).write_text(text, "utf-8")
    refused(bundle, "not finite")


def test_an_integer_beyond_every_float_is_refused(bundle):
    edit(bundle, lambda m: m.update(noise_floor=10**400))
    refused(bundle, "damaged")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("artifacts", 0, "sizes", "multiple"), 0),
        (("artifacts", 0, "sizes", "smallest"), [-16, 16]),
        (("artifacts", 0, "sizes", "smallest"), [16, 1000]),
        (("artifacts", 0, "sizes", "enumerated"), [[0, 0]]),
        (("model", "halo"), -1),
        (("model", "outputs"), []),
        (("model", "inputs"), []),
        (("model", "frames"), []),
        (("model", "outputs", 0, "channels"), 0),
        (("model", "residual"), "nothing"),
        (("model", "frames"), ["picture", "picture"]),
    ],
)
def test_numbers_that_no_session_could_use_are_refused(bundle, path, value):
    def change(data):
        *most, last = path
        for key in most:
            data = data[key]
        data[last] = value

    edit(bundle, change)
    refused(bundle, "damaged")


def external(path, location):
    """Write the network of :mod:`tests.support.tiny_bundle` with its weights in another file."""
    weights = numpy_helper.from_array(np.full((3, 3, 3, 3), 1 / 9, np.float32), "k")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["y0", "k"], ["y_hat"], pads=[1, 1, 1, 1])],
        "net",
        [helper.make_tensor_value_info("y0", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("y_hat", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return model


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/passwd", "*/w"])
def test_tensors_in_another_file_are_refused(bundle, tmp_path, monkeypatch, location):
    file = bundle / "mean.fp32.onnx"
    external(file, location)
    for folder in (bundle, tmp_path):
        (folder / "weights.bin").write_bytes(bytes(324))
    edit(bundle, lambda m: m["artifacts"][0].update(sha256=digest(file)))
    for folder in (bundle, tmp_path):  # ONNX Runtime would look in both
        monkeypatch.chdir(folder)
        with pytest.raises(EngineError, match=r"mean\.fp32\.onnx keeps tensors in another file"):
            load(bundle)


def test_the_encoding_of_lengths_hides_no_other_file(bundle, tmp_path, monkeypatch):
    """Protobuf also reads a length of 8 that is written in two bytes."""
    file = tmp_path / "m.onnx"
    model = external(file, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(bytes(324))
    entry = model.graph.initializer[0].external_data[0]
    plain = entry.SerializeToString()
    entry.value += "x"  # one more byte for the longer encoding of the length
    longer = plain.replace(b"\x08location", b"\x88\x00location")
    data = model.SerializeToString().replace(entry.SerializeToString(), longer)
    read = onnx.load_from_string(data).graph.initializer[0].external_data[0]
    assert (read.key, read.value) == ("location", "weights.bin")
    file.write_bytes(data)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError, match="keeps tensors in another file"):
        open_engine("onnx", file, Bundle.open(bundle).manifest.model)


def test_another_format_under_the_name_of_onnx_is_refused(bundle, tmp_path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "own.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(bundle / "mean.fp32.onnx", options)
    with pytest.raises(EngineError, match=r"cannot load own\.ort"):
        open_engine("onnx", tmp_path / "own.ort", Bundle.open(bundle).manifest.model)


def test_an_artefact_that_vanishes_is_an_engine_error(bundle, tmp_path):
    with pytest.raises(EngineError, match="cannot be read: No such file"):
        open_engine("onnx", tmp_path / "m.onnx", Bundle.open(bundle).manifest.model)


def test_a_bundle_overwritten_while_open_does_not_reach_its_session(bundle):
    file = bundle / "mean.fp32.onnx"
    with load(bundle, threads=1) as session:
        before = session(FRAME)
        os.truncate(file, 30)
        np.testing.assert_array_equal(session(FRAME), before)
        with pytest.raises(BundleError, match="was changed after the export"):
            load(bundle)
        shutil.rmtree(bundle)
        np.testing.assert_array_equal(session(FRAME), before)


TRUNCATED = """
import os, sys
from pathlib import Path
import numpy as np
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.runtime.engines.base import EngineOptions, open_engine
file, picture = Path(sys.argv[2]), {"y0": np.ones((1, 3, 24, 20), np.float32)}
engine = open_engine("executorch", file, Bundle.open(sys.argv[1]).manifest.model, EngineOptions(1))
before = engine.run(picture)["y_hat"]
os.truncate(file, 0)
after = engine.run(picture)["y_hat"]
print(np.array_equal(before, after), after[0, 0, 5, 5])
"""


@pytest.mark.slow
def test_an_executorch_program_truncated_while_open_still_runs(bundle, tmp_path):
    """ExecuTorch 1.5 maps a path into memory, where truncation ended the process with SIGBUS."""
    from tests.support.tiny_program import write_program

    write_program(tmp_path / "m.pte")
    done = subprocess.run(
        [sys.executable, "-c", TRUNCATED, str(bundle), str(tmp_path / "m.pte")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "True 1.0\n"), done.stderr
