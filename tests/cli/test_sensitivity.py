"""Tests of ``edgeexpo sensitivity`` as a user calls it."""

from __future__ import annotations

import json

import pytest

from edgeexpo.cli import main


def test_a_foreign_module_gets_a_table_and_a_plot(network_file, picture_folder, tmp_path, capsys):
    plot = tmp_path / "plot.png"
    arguments = ["sensitivity", f"{network_file}:net", "--input", "photo=1x3x64x64"]
    arguments += ["--calib", str(picture_folder), "--images", str(picture_folder)]
    assert main([*arguments, "--ratio", "0.5", "-o", str(plot), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    layers = document["layers"]
    assert {row["module"] for row in layers} == {"body.0", "body.2"}
    assert all(row["source"].startswith("net.py:") for row in layers)
    assert document["pictures"] == ["photo0.png", "photo1.png"]
    worst = [row["alone"]["worst"] for row in layers]
    assert worst == sorted(worst)
    assert all(v >= document["everything"]["worst"] - 0.5 for v in worst)
    # Layers of 8 channels are one pruning step wide, so that none can be pruned.
    assert all(row["pruned"] is None and row["whole"] for row in layers)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "-o", str(plot)]) == 2
    assert "use --force" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lrl-mobil"], "did you mean 'lrl-mobile'"),
        (["lrl-mobile", "--images", "nowhere"], "no folder at nowhere"),
        (["lrl-3"], "ships without weights"),
        (["lrl-mobile", "--size", "64,64", "--ratio", "2"], "above 0 and below 1"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sensitivity", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert len(error.splitlines()) == 1
