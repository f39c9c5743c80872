"""Files and bundles are written in one step: a failing disk leaves the old one and a reason."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from edgeexpo import writing as module
from edgeexpo.bundle.files import staged
from edgeexpo.errors import OutputError
from edgeexpo.writing import check_file, made_folder, write_file, writing


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.ENAMETOOLONG, "File name too long"),
    ],
)
def test_a_disk_that_refuses_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise OSError(code, os.strerror(code))

    (tmp_path / "kept").write_bytes(b"old")
    monkeypatch.setattr(module.tempfile, "mkdtemp", refuse)
    monkeypatch.setattr(module.tempfile, "mkstemp", refuse)
    with pytest.raises(OutputError, match=reason), staged(tmp_path / "lrl"):
        pytest.fail("the block must not run")
    with pytest.raises(OutputError, match=reason):
        write_file(tmp_path / "kept", b"new")
    with pytest.raises(OutputError, match=reason):
        check_file(tmp_path / "new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    target = Path("/dev/full")
    if not target.exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(OutputError, match="disk is full"), writing(tmp_path / "x"):
        target.write_bytes(b"x")


def test_files_are_replaced_in_one_step_and_readable_by_all(tmp_path: Path) -> None:
    write_file(tmp_path / "f", b"one")
    write_file(tmp_path / "f", b"two")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"two"]
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644


def test_a_check_leaves_no_folder_behind_and_writing_makes_it(tmp_path: Path) -> None:
    check_file(tmp_path / "deep" / "er" / "f")
    assert not list(tmp_path.iterdir())
    write_file(tmp_path / "deep" / "er" / "f", b"one")
    assert (tmp_path / "deep" / "er" / "f").read_bytes() == b"one"


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder; expected a file"):
        check_file(tmp_path, force=True)


def test_a_bundle_that_fails_leaves_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "deep" / "net"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_folder_that_got_a_file_stays_after_a_failure(tmp_path: Path) -> None:
    def fill() -> None:
        with made_folder(tmp_path / "a" / "b"):
            (tmp_path / "a" / "f").touch()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fill()
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "f"]
