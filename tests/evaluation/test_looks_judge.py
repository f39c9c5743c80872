"""Tests of the judgement over pictures: reports, strides, sheets and the verb."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import edgeexpo
from edgeexpo.cli import main
from edgeexpo.errors import UsageError
from edgeexpo.evaluation.looks.report import PictureLooks
from edgeexpo.evaluation.looks.strides import periods_of
from edgeexpo.evaluation.looks.table import look_named, looks_for
from edgeexpo.evaluation.looks.verdicts import verdicts
from edgeexpo.evaluation.looks_judge import lighter_scenes
from edgeexpo.evaluation.looks_scenes import fitted, wide_enough
from edgeexpo.evaluation.predict import float_sizes
from edgeexpo.evaluation.scene import Scene
from edgeexpo.models.zoo import get
from tests.support.looks_pictures import photograph


class Gain(torch.nn.Module):
    """A correction that makes a picture lighter, and tints it if it is told to."""

    def __init__(self, tint: float = 0.0) -> None:
        super().__init__()
        self.tint = tint

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        shift = torch.tensor([self.tint, 0.0, -self.tint]).view(1, 3, 1, 1)
        return torch.clamp(picture**0.9 + shift, 0, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "photographs"
    path.mkdir()
    Image.fromarray(np.rint(photograph() * 255).astype(np.uint8)).save(path / "a.png")
    return path


INPUTS = {"picture": (1, 3, 64, 64)}


def test_a_clean_module_passes_and_a_tint_fails(folder: Path, tmp_path: Path) -> None:
    clean = edgeexpo.evaluate(Gain(), folder, inputs=INPUTS, looks=True)
    (report,) = clean.looks
    assert report.passed, [r for r in report.rows if r.passed is False]
    assert clean.rows == []
    assert len(report.pictures) == 10
    sheet = tmp_path / "sheet.png"
    (tinted,) = edgeexpo.evaluate(
        Gain(0.03), folder, inputs=INPUTS, looks=True, sheet=sheet, longest=160
    ).looks
    failed = {row.look for row in tinted.rows if row.passed is False}
    assert "neutral" in failed
    assert np.asarray(Image.open(sheet)).shape[2] == 3
    assert "neutral" in repr(tinted)


def test_the_verb_exits_3_with_one_document(folder: Path, capsys) -> None:
    verb = ["evaluate", "exponet", "--looks", "--data", str(folder), "--longest", "128"]
    assert main([*verb, "--json"]) == 3
    (report,) = json.loads(capsys.readouterr().out)["looks"]
    assert report["passed"] is False
    assert {"look", "value", "bound", "picture", "passed"} <= set(report["rows"][0])
    assert main([*verb, "--per-scene"]) == 3
    out = capsys.readouterr().out
    failed = [row["title"] for row in report["rows"] if row["failed"]]
    assert failed
    assert all(title in out for title in failed)
    assert "FAIL" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["exponet"], "name it with --data"),
        (["exponet", "--looks", "--longest", "20"], "expected 128 pixels or more"),
        (["exponet", "--looks", "--sheet", "a.jpg"], "expected a .png file"),
        (["exponet", "--looks", "--sheet", "missing/a.png"], "whose folder does not exist"),
        (["exponet", "--data", ".", "--sheet", "a.png"], "--sheet is for looks"),
        (["expandnet", "--looks"], "gives radiance, and looks judge pictures"),
    ],
)
def test_requests_that_cannot_be_met_end_in_one_line(capsys, arguments, message) -> None:
    assert main(["evaluate", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_an_unreadable_folder_gives_nothing_to_judge(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match="gave nothing to judge"):
        edgeexpo.evaluate(Gain(), tmp_path, inputs=INPUTS, looks=True)


def test_the_worst_picture_decides_and_no_number_is_worst() -> None:
    look = look_named("neutral", looks_for(1))
    pictures = [PictureLooks(n, {"neutral": v}, ()) for n, v in (("a", 1.0), ("b", 3.0))]
    (row,) = verdicts([look], pictures)
    assert (row.value, row.picture, row.failed, row.passed) == (3.0, "b", 1, False)
    (row,) = verdicts([look], [*pictures, PictureLooks("c", {"neutral": float("nan")}, ())])
    assert (row.picture, row.failed) == ("c", 2)
    (row,) = verdicts([look], [])
    assert (row.value, row.passed) == (None, None)
    contrast = look_named("contrast", looks_for(1))
    values = [PictureLooks(n, {"contrast": v}, ()) for n, v in (("a", 0.9), ("b", 0.4))]
    assert verdicts([contrast], values)[0].picture == "b"


def test_strides_meet_the_picture_at_the_scale_of_the_small_copy() -> None:
    spec = get("kdfusion").spec
    assert periods_of(spec, float_sizes(spec), 512, 512) == ((4.0, 4.0), (8.0, 8.0), (16.0, 16.0))
    assert periods_of(spec, float_sizes(spec), 256, 256)[0] == (2.0, 2.0)
    fixed = get("exponet").spec
    assert periods_of(fixed, float_sizes(fixed), 512, 1024)[0] == (8.0, 16.0)
    lrl = get("lrl").spec
    assert periods_of(lrl, float_sizes(lrl), 512, 512) == ()


def test_scenes_are_scaled_down_and_narrow_pairs_are_left_out() -> None:
    frame = photograph()
    scene = Scene("a", (), (frame, frame), frame, "photograph", 1.0)
    small = fitted(scene, 96)
    assert small.frames[0].shape == (80, 96, 3)
    assert fitted(scene, 1024).frames[0].shape == frame.shape
    assert list(wide_enough([scene])) == []
    bracket = Scene("a", (), (frame, frame), None, "none", 1.0)
    assert list(wide_enough([bracket])) == [bracket]


def test_lighter_frames_end_where_they_clip() -> None:
    dark = np.full((16, 16, 3), 0.2, np.float32)
    levels = [s.frames[0].mean() for s in lighter_scenes(Scene("a", (), (dark,), None, "none"))]
    assert len(levels) == 3
    assert levels == sorted(levels)
    light = np.full((16, 16, 3), 0.95, np.float32)
    assert list(lighter_scenes(Scene("a", (), (light,), None, "none"))) == []
