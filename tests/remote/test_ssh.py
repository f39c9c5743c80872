"""Verbs over an SSH server on this machine."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.records import read_records
from edgeexpo.cli import main
from edgeexpo.errors import LostConnectionError
from edgeexpo.remote.engine import RemoteEngine
from edgeexpo.testing.remote_kills import random_kills


@pytest.fixture
def picture(tmp_path):
    from PIL import Image

    path = tmp_path / "frame.png"
    values = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    Image.fromarray(values).save(path)
    return path


def json_of(capsys):
    return json.loads(capsys.readouterr().out)


def error_of(capsys, *arguments):
    assert main(list(arguments)) in (1, 2, 4)
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    return said[0]


def test_run_shows_the_same_picture(server, bundle, picture, tmp_path, capsys):
    from PIL import Image

    words = ["run", str(bundle), str(picture), "--json"]
    assert main([*words, "-o", str(tmp_path / "here.png")]) == 0
    capsys.readouterr()
    assert main([*words, "-o", str(tmp_path / "there.png"), "--on", server.address]) == 0
    assert json_of(capsys)["engine"].endswith(f"on {server.place}")
    here, there = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("here", "there"))
    np.testing.assert_array_equal(there, here)
    assert not server.left_over()


def test_bench_takes_the_times_there(server, bundle, capsys):
    words = ["bench", str(bundle), "--runs", "2", "--threads", "1", "--json"]
    assert main([*words, "--on", server.address, "--on", "here"]) == 0
    document = json_of(capsys)
    assert list(document["others"]) == [server.place]
    (there,) = (r for r in document["rows"] if "on" in r and r["engine"] == "onnxruntime")
    assert there["ms_p50"] > 0
    assert there["peak_rss_mb"] > 10
    assert there["version"]
    assert next(r["engine"] for r in document["rows"] if "on" not in r) == "torch"
    assert not server.left_over()


@pytest.mark.slow  # every engine is imported there
def test_doctor_says_what_is_there(server, capsys):
    assert main(["doctor", "--on", server.address, "--json"]) == 0
    document = json_of(capsys)
    assert document["engines"]["onnxruntime"]["state"].startswith("usable")
    assert document["engines"]["coreml"]["state"] == "needs macOS"
    assert document["host"]["clock_ahead_s"] == pytest.approx(0, abs=5)
    assert not server.left_over()


def test_doctor_says_what_is_missing(server, capsys, tmp_path):
    python = bare_python(tmp_path)
    assert main(["doctor", "--on", f"{server.place}{python}"]) == 4
    said = capsys.readouterr().out
    assert "numpy: not installed" in said
    assert "--install onnxruntime" in said


def test_doctor_installs_only_on_another_machine(capsys):
    assert "name it with --on" in error_of(capsys, "doctor", "--install", "onnxruntime")


def bare_python(folder):
    """Write a Python without any package, and return its path."""
    path = folder / "bare"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    path.chmod(0o755)
    return path


def test_missing_numpy_is_one_line(server, bundle, picture, tmp_path, capsys):
    python = bare_python(tmp_path)
    line = error_of(
        capsys, "run", str(bundle), str(picture), "-o", str(tmp_path / "x.png"),
        "--on", f"{server.place}{python}",
    )  # fmt: skip
    assert "has no numpy" in line
    assert "edgeexpo doctor --on" in line


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda f: (f / "known").write_text(""), "not known to ssh"),
        (
            lambda f: (f / "known").write_text(
                (f / "known").read_text().split()[0] + " " + (f / "key.pub").read_text()
            ),
            "another host key than before",
        ),
        (lambda f: (f / "authorized").write_text(""), "takes none of your keys"),
    ],
)
def test_what_ssh_refuses_is_one_line_with_its_words(server, capsys, break_it, words):
    kept = {n: (server.folder / n).read_bytes() for n in ("known", "authorized")}
    try:
        break_it(server.folder)
        assert words in error_of(capsys, "doctor", "--on", server.address)
    finally:
        for name, data in kept.items():
            (server.folder / name).write_bytes(data)


def test_a_host_that_does_not_answer_is_one_line(server, capsys):
    line = error_of(capsys, "doctor", "--on", "ssh://127.0.0.1:1")
    assert "Connection refused" in line
    assert "no address" in error_of(capsys, "doctor", "--on", "http://camera")
    line = error_of(capsys, "doctor", "--on", f"{server.place}/no/python")
    assert "has no such Python" in line


@pytest.fixture
def copied(exported, tmp_path):
    return Path(shutil.copytree(exported, tmp_path / "net"))


@pytest.mark.usefixtures("small_probes")
def test_parity_judges_what_ran_there_and_keeps_records(server, copied, capsys):
    before = Bundle.open(copied).digest
    words = ["parity", str(copied), "--target", "onnx", "--precision", "int8", "--json"]
    report = copied / "there.html"
    words += ["--on", server.address, "--on", "here", "--report", str(report), "--keep"]
    assert main([*words, "--junit", str(copied / "there.xml")]) == 0
    document = json_of(capsys)
    there, here = document["artifacts"]
    assert there["host"]["name"] == server.place
    assert there["host"]["version"]
    assert there["host"]["ms"] > 0
    assert "host" not in here
    assert there["status"] == here["status"] == "verified"
    assert there["worst"] == here["worst"]
    (pair,) = document["agreement"]
    assert pair["files"] == [f"net.int8.onnx on {server.place}", "net.int8.onnx"]
    assert pair["steps_max"] == 0
    assert server.place in report.read_text()
    assert server.place in (copied / "there.xml").read_text()
    opened = Bundle.open(copied)
    assert opened.digest == before
    assert {r.status for r in read_records(opened)} == {"verified"}
    assert not server.left_over()


@pytest.mark.usefixtures("small_probes")
def test_a_machine_that_is_lost_gives_no_verdict(server, copied, capsys, monkeypatch):
    def lost(self, inputs):
        raise LostConnectionError("the connection is lost; a second try failed as well")

    monkeypatch.setattr(RemoteEngine, "run", lost)
    words = ["parity", str(copied), "--target", "onnx", "--precision", "fp32", "--keep"]
    assert main([*words, "--on", server.address]) == 1
    said = capsys.readouterr()
    assert "unverified" in said.out
    assert "was not judged: the connection is lost" in said.err
    assert not read_records(Bundle.open(copied))


def test_debug_traces_there(server, exported, picture_folder, capsys):
    words = ["debug", str(exported), "--precision", "int8", "--images", str(picture_folder)]
    assert main([*words, "--target", "onnx", "--json"]) == 0
    here = json_of(capsys)
    assert main([*words, "--target", "onnx", "--json", "--on", server.address]) == 0
    there = json_of(capsys)
    assert server.place in there["engine"]
    assert there["layers"] == here["layers"]
    line = error_of(capsys, *words, "--target", "executorch", "--on", server.address)
    assert "can be traced on this machine only; leave --on out" in line


@pytest.mark.slow
def test_twenty_random_kills_change_no_picture_and_leave_nothing(server, bundle):
    count = random_kills(server, Bundle.open(bundle), "onnx", 20, seed=3)
    assert (count.wrong, count.left) == (0, 0), count
    assert count.right + count.lost == 20
    assert count.retried > 3
    assert count.longest < 120
