"""The cache of artefacts on the other machine."""

from __future__ import annotations

import errno
import io
import os
import time
from pathlib import Path

import pytest

from edgeexpo.bundle.files import digest
from edgeexpo.remote.store import KEPT_DAYS, Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(os.urandom(3000))
    return path


def put(store, path):
    data = path.read_bytes()
    return store.put(digest(path), path.name, [("", len(data))], io.BytesIO(data).read)


def test_a_file_is_found_by_its_digest(store, file):
    assert store.find(digest(file), file.name) is None
    kept = put(store, file)
    assert kept.read_bytes() == file.read_bytes()
    assert store.find(digest(file), file.name) == kept


def test_a_folder_is_kept_with_its_files(store, tmp_path):
    package = tmp_path / "net.mlpackage"
    (package / "Data" / "weights").mkdir(parents=True)
    (package / "Manifest.json").write_bytes(b"{}")
    (package / "Data" / "weights" / "weight.bin").write_bytes(b"123")
    files = [("Data/weights/weight.bin", 3), ("Manifest.json", 2)]
    kept = store.put(digest(package), package.name, files, io.BytesIO(b"123{}").read)
    assert digest(kept) == digest(package)


def test_a_file_that_was_changed_in_the_cache_is_not_used(store, file):
    kept = put(store, file)
    kept.write_bytes(b"other")
    assert store.find(digest(file), file.name) is None
    assert put(store, file).read_bytes() == file.read_bytes()


def test_bytes_of_another_digest_are_not_kept(store, file, tmp_path):
    with pytest.raises(ValueError, match="damaged"):
        store.put("0" * 64, file.name, [("", 4)], io.BytesIO(b"abcd").read)
    assert not [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]


def test_a_full_disk_leaves_nothing(store, file, tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    sha256 = digest(file)
    monkeypatch.setattr(Path, "open", lambda *_: Full())
    with pytest.raises(OSError, match="No space left"):
        store.put(sha256, file.name, [("", 4)], io.BytesIO(b"abcd").read)
    monkeypatch.undo()
    assert not list((tmp_path / "cache" / "artefacts").iterdir())


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc/passwd", "a\\b", "a\0b"])
def test_names_lead_nowhere_else(store, name):
    with pytest.raises(ValueError, match="no file name"):
        store.find("0" * 64, name)


@pytest.mark.parametrize("relative", ["../x", "/etc/x", "a/../../x", "a\\b"])
def test_files_of_a_folder_lead_nowhere_else(store, relative, tmp_path):
    with pytest.raises(ValueError, match="leads out"):
        store.put("0" * 64, "net.mlpackage", [(relative, 1)], io.BytesIO(b"1").read)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("sha256", ["", "..", "G" * 64, "0" * 63])
def test_only_digests_are_places(store, sha256):
    with pytest.raises(ValueError, match="no digest"):
        store.find(sha256, "net.onnx")


def test_what_was_not_used_for_long_is_removed(store, file, tmp_path):
    kept = put(store, file).parent
    old = time.time() - (KEPT_DAYS + 1) * 86400
    os.utime(kept, (old, old))
    other = tmp_path / "other.onnx"
    other.write_bytes(b"x")
    put(store, other)
    assert not kept.exists()
    assert store.find(digest(other), other.name) is not None
