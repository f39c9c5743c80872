"""A dry run of export says what an export would do, and writes nothing."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
import torch
from torch import nn

import edgeexpo
from edgeexpo import targets
from edgeexpo.cli import main
from edgeexpo.errors import ExportError, ModuleError, UsageError
from tests.support.networks import NETWORK, Residual
from tests.support.toy_target import TOY

INPUTS = {"y0": (1, 3, 64, 64)}


class Arctangent(nn.Module):
    """A network with an operator that the toy target lacks, after an INT8 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.middle = nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, y0: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.first(y0))
        inner = torch.atan(self.middle(inner))
        return torch.sigmoid(self.last(inner))


@pytest.fixture
def toy(monkeypatch):
    """Let the toy target be the only one, at all precisions."""
    record = dataclasses.replace(TOY, precisions=("fp32", "fp16", "int8"))
    monkeypatch.setattr(targets, "TARGETS", {"toy": record})
    return record


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty folder, with an empty folder for temporary files."""
    (tmp_path / "work").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return tmp_path


def test_what_would_be_written_is_said_and_nothing_is_written(toy, here):
    plan = edgeexpo.plan_export(Residual(), inputs=INPUTS, targets="toy", precision="fp32")
    assert plan
    (planned,) = plan.artifacts
    assert planned.artifact.file == "Residual.fp32.toy"
    assert planned.artifact.bytes > 3000
    assert planned.artifact.sizes.largest == plan.size == (64, 64)
    assert (plan.tiled, plan.footprint.halo) == (True, 3)
    assert [t.name for t in plan.inputs] == ["y0"]
    assert plan.outputs[0].value_range == (0.0, 1.0)
    assert plan.integer_share is None
    assert "Residual.fp32.toy: " in repr(plan)
    assert not list((here / "work").iterdir())
    assert not list((here / "temporary").glob("edgeexpo-*"))


@pytest.mark.slow
def test_a_plan_and_an_export_agree(toy, here, picture_folder):
    asked = {"inputs": INPUTS, "targets": "toy", "precision": "fp32", "images": picture_folder}
    torch.manual_seed(0)
    module = Residual()
    plan = edgeexpo.plan_export(module, **asked)
    (made,) = edgeexpo.export_bundle(module, **asked).manifest.artifacts
    (planned,) = plan.artifacts
    for name in ("file", "bytes", "sizes", "float_operators"):
        assert getattr(planned.artifact, name) == getattr(made, name)
    again = edgeexpo.plan_export(module, **asked)
    assert not again
    assert "exists" in again.blocked
    assert edgeexpo.plan_export(module, **asked, force=True)


def test_a_refusal_has_operator_line_and_way_out(toy, here):
    plan = edgeexpo.plan_export(
        Arctangent(), inputs=INPUTS, targets="toy", precision=("fp32", "int8")
    )
    assert not plan
    assert {(r.target, r.precision) for r in plan.refused} == {("toy", "fp32"), ("toy", "int8")}
    lines = {(line.operator, line.effect): line for line in plan.lines}
    stays = lines["atan", "in float"]
    assert re.fullmatch(r"test_plan_export.py:\d+", stays.source)
    assert stays.artifacts == ("int8",)
    assert stays.reason == "no integer kernel"
    assert lines["sigmoid", "in float"].reason == "exact tail"
    assert lines["conv2d", "in float"].reason == "logits of a picture"
    assert plan.integer_share == pytest.approx(1 - 3 * 8 / (3 * 8 + 8 * 8 + 8 * 3))


def test_a_refusal_that_names_its_place_stands_at_that_line(here, monkeypatch):
    monkeypatch.setattr(
        targets, "TARGETS", {"toy": dataclasses.replace(TOY, exporter=f"{__name__}:refuses")}
    )
    plan = edgeexpo.plan_export(Residual(), inputs=INPUTS, targets="toy", precision="fp32")
    (line,) = plan.lines
    assert (line.source, line.operator, line.effect) == ("net.py:16", "clamp", "refused")
    assert line.artifacts == ("toy fp32",)
    assert line.reason.endswith("write it otherwise")


def refuses(program, path):
    """Fail as the product's own lowerings do."""
    raise ExportError("no operator clamp (aten.clamp.default at net.py:16); write it otherwise")


class Computed(nn.Module):
    """A network whose last convolution has a kernel that it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, y0: torch.Tensor) -> torch.Tensor:
        kernel = self.first.weight * y0.mean(dim=(2, 3))[:, :, None, None].mean()
        return nn.functional.conv2d(self.first(y0), kernel, padding=1)


def test_what_leaves_the_delegate_is_said_by_line():
    inputs = {"y0": (1, 3, 32, 32)}
    plan = edgeexpo.plan_export(
        Computed(), inputs=inputs, targets="executorch", precision="fp32", output="nowhere"
    )
    outside = {x.operator: x for x in plan.lines if x.effect == "outside the delegate"}
    line = outside["convolution"]
    assert line.source.startswith("test_plan_export.py:")
    assert line.artifacts == ("executorch fp32",)
    assert line.reason.endswith("% of the multiplications")
    assert 0.3 < plan.artifacts[0].portable < 0.7
    assert "portable kernels" in plan.artifacts[0].notes[0]
    assert not plan.tiled


@pytest.fixture
def file(here):
    """Write a user's file and name its factory."""
    (here / "net.py").write_text(NETWORK)
    return f"{here / 'net.py'}:net"


def test_the_verb_prints_one_json_document(toy, here, file, capsys):
    words = ["export", file, "--input", "photo=1x3x64x64", "--precision", "fp32,int8"]
    code = main([*words, "--target", "toy", "--dry-run", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 1
    assert document["dry_run"] is True
    assert document["footprint"]["halo"] == 2
    (row,) = document["artifacts"]
    assert (row["target"], row["precision"]) == ("toy", "fp32")
    assert row["bytes"] > 0
    assert [r["precision"] for r in document["refused"]] == ["int8"]
    assert {"source", "operator", "effect", "artifacts", "reason"} == set(document["lines"][0])
    assert not list((here / "work").iterdir())


def test_the_verb_prints_a_table_and_the_way_out(toy, here, file, capsys):
    words = ["export", file, "--input", "photo=1x3x64x64", "--target", "toy", "--dry-run"]
    assert main([*words, "--precision", "fp32"]) == 0
    out = capsys.readouterr().out
    assert "photo: 1x3xHxW, RGB, 0 to 1" in out
    assert "in tiles of at most 64x64: halo 2, grid 1" in out
    assert re.search(r"^toy +fp32 +ok +[\d.]+ kB +16x16 to 64x64$", out, re.MULTILINE)
    assert "export would write all 1 artefacts" in out
    assert main([*words, "--precision", "fp16,fp32"]) == 1
    told = capsys.readouterr()
    assert "refused: toy fp16: the toy target has no operator" in told.out
    assert "1 of 2 artefacts would be refused: toy fp16" in told.err


def test_a_taken_folder_is_said_after_the_plan(toy, here, file, capsys):
    (here / "work" / "dist" / "net").mkdir(parents=True)
    words = ["export", file, "--input", "photo=1x3x64x64", "--target", "toy", "--dry-run"]
    assert main([*words, "--precision", "fp32"]) == 2
    told = capsys.readouterr()
    assert re.search(r"^toy +fp32 +ok", told.out, re.MULTILINE)
    assert "dist/net exists; use --force" in told.err


def test_bad_input_is_refused_as_by_export(toy, here, file, capsys):
    words = ["export", file, "--target", "toy", "--precision", "fp32", "--dry-run"]
    assert main(words) == 2
    assert main([*words, "--input", "1x3x64x64", "--images", "nowhere"]) == 2
    with pytest.raises(ModuleError, match="depends on the values of its input at test_plan"):
        edgeexpo.plan_export(Branching(), inputs=INPUTS, targets="toy", precision="fp32")
    with pytest.raises(UsageError, match="unknown precision 'int4'"):
        edgeexpo.plan_export(Residual(), inputs=INPUTS, targets="toy", precision="int4")
    assert not list((here / "work").iterdir())


class Branching(nn.Module):
    """A network that depends on the values of its picture."""

    def forward(self, y0: torch.Tensor) -> torch.Tensor:
        return y0 * 2 if y0.mean() > 0.5 else y0
