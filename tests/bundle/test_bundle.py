"""Bundles are written in one step and checked byte by byte; damage is refused in one line."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeexpo.bundle import files
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest, size_in_bytes, staged
from edgeexpo.bundle.manifest import MANIFEST, Artifact, Manifest, write_manifest
from edgeexpo.errors import BundleError, OutputError
from edgeexpo.spec import ExportRecipe, ModelSpec, SizeRange, TensorSpec

SPEC = ModelSpec("lrl", "fusion", ("under", "over"), (TensorSpec("y0"),), (TensorSpec("y"),), 8)
RECIPE = ExportRecipe("lrl", ("onnx",), ("int8",), (64, 64), "embedded", (), {})
SIZES = SizeRange((64, 64), (16, 16))


def make_bundle(folder: Path, kinds: tuple[tuple[str, str], ...] = (("onnx", "int8"),)) -> Bundle:
    """Write a bundle with small files of arbitrary content."""
    with staged(folder) as staging:
        (staging / "reference.pt2").write_bytes(b"program")
        artifacts = []
        for target, precision in kinds:
            file = staging / f"lrl.{precision}.{target}"
            file.write_bytes(f"{target} {precision}".encode())
            artifacts.append(
                Artifact(file.name, target, precision, digest(file), size_in_bytes(file), SIZES)
            )
        files = {"reference.pt2": digest(staging / "reference.pt2")}
        write_manifest(staging, Manifest(SPEC, RECIPE, tuple(artifacts), files, {"numpy": "2.3"}))
    return Bundle.open(folder)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def edit_manifest(bundle: Bundle, change: Callable[[Any], None]) -> None:
    data = json.loads((bundle.path / MANIFEST).read_text("utf-8"))
    change(data)
    (bundle.path / MANIFEST).write_text(json.dumps(data), "utf-8")


def test_digest_of_a_folder_is_that_of_its_sorted_lines(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "b" / "z").write_bytes(b"1")
    (tmp_path / "b-").write_bytes(b"2")
    (tmp_path / "B").write_bytes(b"")
    one, two, none = (hashlib.sha256(x).hexdigest() for x in (b"1", b"2", b""))
    lines = f"B\0{none}\nb-\0{two}\nb/z\0{one}\n"
    assert digest(tmp_path) == hashlib.sha256(lines.encode()).hexdigest()
    assert size_in_bytes(tmp_path) == 2


def test_a_bundle_opens_as_it_was_written(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "lrl")
    assert bundle.manifest.model == SPEC
    assert bundle.manifest.recipe == RECIPE
    assert bundle.manifest.status == "unverified"
    bundle.verify()
    assert [p.name for p in tmp_path.iterdir()] == ["lrl"]


@pytest.mark.parametrize("file", ["lrl.int8.onnx", "reference.pt2"])
def test_a_changed_byte_is_refused(tmp_path: Path, file: str) -> None:
    bundle = make_bundle(tmp_path / "lrl")
    data = bytearray((bundle.path / file).read_bytes())
    data[0] ^= 1
    (bundle.path / file).write_bytes(data)
    with pytest.raises(BundleError, match="changed after the export"):
        bundle.file(file)
    with pytest.raises(BundleError, match=file):
        bundle.verify()


def test_a_changed_name_inside_a_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "weight.bin").write_bytes(b"w")
    before = digest(tmp_path / "p")
    (tmp_path / "p" / "weight.bin").rename(tmp_path / "p" / "weights.bin")
    assert digest(tmp_path / "p") != before


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "sub/../../outside"])
def test_a_path_that_escapes_is_refused(tmp_path: Path, name: str) -> None:
    bundle = make_bundle(tmp_path / "lrl")
    (tmp_path / "outside").write_bytes(b"secret")
    (bundle.path / "sub").mkdir()
    known = hashlib.sha256(b"secret").hexdigest()
    edit_manifest(bundle, lambda m: m["files"].update({name: known}))
    with pytest.raises(BundleError, match="outside the bundle"):
        Bundle.open(bundle.path).file(name)


def test_a_symlink_that_escapes_is_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "lrl")
    (tmp_path / "outside").write_bytes(b"program")
    (bundle.path / "reference.pt2").unlink()
    (bundle.path / "reference.pt2").symlink_to(tmp_path / "outside")
    with pytest.raises(BundleError, match="outside the bundle"):
        bundle.file("reference.pt2")


def test_missing_and_unlisted_files_are_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "lrl")
    with pytest.raises(BundleError, match=r"does not list 'report\.html'"):
        bundle.file("report.html")
    (bundle.path / "reference.pt2").unlink()
    with pytest.raises(BundleError, match="is missing"):
        bundle.file("reference.pt2")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "schema version None"),
        ('{"schema_version": 99}', "schema version 99"),
        ('{"schema_version": 1}', "damaged"),
        ('{"schema_version": 1, "model": 3}', "damaged"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / MANIFEST).write_text(text, "utf-8")
    with pytest.raises(BundleError, match=reason):
        Bundle.open(tmp_path)


def test_a_manifest_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(b"\xff\xfe\0")
    with pytest.raises(BundleError, match="cannot be read"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"), [("target", "tflite"), ("precision", "int4"), ("status", "fine")]
)
def test_an_artefact_of_an_unknown_kind_is_refused(tmp_path: Path, key: str, value: str) -> None:
    bundle = make_bundle(tmp_path / "lrl")
    edit_manifest(bundle, lambda m: m["artifacts"][0].update({key: value}))
    with pytest.raises(BundleError, match=value):
        Bundle.open(bundle.path)


def test_folders_that_are_no_bundles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="edgeexpo export"):
        Bundle.open(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="is not a bundle"):
        Bundle.open(tmp_path)


def test_select_prefers_int8_then_onnx(tmp_path: Path) -> None:
    kinds = (("coreml", "fp32"), ("onnx", "fp32"), ("coreml", "int8"), ("executorch", "int8"))
    bundle = make_bundle(tmp_path / "lrl", kinds)
    assert bundle.select().file == "lrl.int8.executorch"
    assert bundle.select(target="onnx").precision == "fp32"
    assert bundle.select(precision="fp32").target == "onnx"
    with pytest.raises(BundleError, match=r"no onnx int8 artefact; it has: coreml fp32, onnx fp32"):
        bundle.select("onnx", "int8")


def test_an_existing_bundle_is_kept_unless_forced(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "lrl")
    before = snapshot(tmp_path)
    with pytest.raises(OutputError, match="--force"), staged(bundle.path):
        pytest.fail("the block must not run")
    assert snapshot(tmp_path) == before
    with staged(bundle.path, force=True) as staging:
        (staging / MANIFEST).write_text("{}", "utf-8")
    assert snapshot(tmp_path) == {"lrl/manifest.json": b"{}"}


def test_force_never_replaces_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("x", "utf-8")
    with pytest.raises(OutputError, match="is not a bundle"), staged(tmp_path / "home", force=True):
        pytest.fail("the block must not run")
    assert snapshot(tmp_path) == {"home/thesis.tex": b"x"}


@pytest.mark.parametrize("force", [False, True])
def test_an_error_inside_leaves_everything_as_it_was(tmp_path: Path, force: bool) -> None:
    if force:
        make_bundle(tmp_path / "lrl")
    before = snapshot(tmp_path)

    def fail() -> None:
        with staged(tmp_path / "lrl", force=force) as staging:
            (staging / MANIFEST).write_text("{}", "utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert snapshot(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == (["lrl"] if force else [])


def test_a_failed_swap_puts_the_old_bundle_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "lrl")
    before = snapshot(tmp_path)
    rename = os.rename

    def refuse(source: Any, destination: Any) -> None:
        if ".partial-" in str(source):
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, destination)

    monkeypatch.setattr(files.os, "rename", refuse)
    with pytest.raises(OutputError, match="disk is full"), staged(bundle.path, force=True):
        pass
    assert snapshot(tmp_path) == before


KILLED = """
import sys, time
from pathlib import Path
from edgeexpo.bundle.files import staged
with staged(Path(sys.argv[1]), force=True) as staging:
    (staging / "lrl.int8.onnx").write_bytes(b"half of it")
    print("halfway", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("existing", [False, True])
def test_a_killed_export_leaves_nothing_that_looks_like_a_bundle(
    tmp_path: Path, existing: bool
) -> None:
    destination = tmp_path / "lrl"
    if existing:
        make_bundle(destination)
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(destination)], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "halfway\n"
        child.send_signal(signal.SIGKILL)
    assert [p.parent.name for p in tmp_path.rglob(MANIFEST)] == (["lrl"] if existing else [])
    assert [p.name for p in tmp_path.glob("[!.]*")] == (["lrl"] if existing else [])
    if existing:
        Bundle.open(destination).verify()


def test_a_file_in_the_way_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError, match="cannot write"), staged(tmp_path / "file" / "lrl"):
        pytest.fail("the block must not run")
    assert snapshot(tmp_path) == {"file": b"x"}


def test_nan_never_reaches_a_manifest(tmp_path: Path) -> None:
    manifest = Manifest(SPEC, RECIPE, (), {}, {}, noise_floor=float("nan"))
    with pytest.raises(ValueError, match="JSON"):
        write_manifest(tmp_path, manifest)
    assert snapshot(tmp_path) == {}
