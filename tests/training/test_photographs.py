import numpy as np
import pytest
from PIL import Image

from edgeexpo.errors import PictureError
from edgeexpo.training import photographs
from edgeexpo.training.photographs import Photographs, photograph_files


@pytest.fixture
def folder(tmp_path):
    for index in range(4):
        codes = np.full((8, 10, 3), 60 * index, np.uint8)
        Image.fromarray(codes).save(tmp_path / f"p{index}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_pictures_are_linear_light(folder):
    found = Photographs(photograph_files(folder, lambda name: name != "p0"))
    assert sorted(found) == ["p1", "p2", "p3"]
    expected = ((120 / 255 + 0.055) / 1.055) ** 2.4
    np.testing.assert_allclose(found["p2"], np.full((8, 10, 3), expected), rtol=1e-5)


def test_only_some_stay_in_memory(folder, monkeypatch):
    monkeypatch.setattr(photographs, "KEPT", 2)
    found = Photographs(photograph_files(folder))
    assert [found[name].shape for name in found] == [(8, 10, 3)] * 4
    assert list(found._kept) == ["p2", "p3"]


def test_damaged_files_are_skipped_named_and_counted(folder, capsys):
    (folder / "p1.png").write_bytes((folder / "p1.png").read_bytes()[:40])
    (folder / "p2.png").write_bytes(b"nothing")
    found = Photographs(photograph_files(folder))
    rng = np.random.default_rng(0)
    drawn = [found.draw(rng) for _ in range(40)]
    assert len({float(p[0, 0, 0]) for p in drawn}) == 2
    assert sorted(found.damaged) == ["p1", "p2"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "skipped (2 so far)" in lines[1]


def test_a_folder_of_damaged_files_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    with pytest.raises(PictureError, match="no photograph of the folder can be read"):
        Photographs(photograph_files(tmp_path)).draw(np.random.default_rng(0))
