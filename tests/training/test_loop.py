import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from edgeexpo.errors import TrainingError, UsageError
from edgeexpo.models import zoo
from edgeexpo.training import loop
from edgeexpo.training.objectives import OBJECTIVES, Helpers
from edgeexpo.training.recipes import RECIPES, recipe
from edgeexpo.training.run import Settings, run
from edgeexpo.training.scenes import read_sources
from edgeexpo.training.store import make

TINY = dataclasses.replace(
    RECIPES["exponet-mobile"], steps=12, batch=2, crop=64, scenes=20, scene_size=64
)


@pytest.fixture(scope="module")
def store(data_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return make(read_sources(data_folder), "correction", folder, count=20, size=64, seed=0)


def fresh(recipe=TINY):
    return loop.begin(recipe, {}, torch.device("cpu"))


def rows(folder):
    with (folder / "curve.csv").open(newline="") as file:
        return [(int(r["step"]), float(r["loss"])) for r in csv.DictReader(file)]


def test_loss_falls(tmp_path, store):
    longer = dataclasses.replace(TINY, steps=60)
    training = loop.train(fresh(longer), store, tmp_path, Helpers())
    first, last = (sum(r[1] for r in part) for part in (training.curve[:10], training.curve[-10:]))
    assert last < 0.9 * first
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_interrupted_run_has_the_curve_of_an_unbroken_one(tmp_path, store, monkeypatch):
    unbroken = loop.train(fresh(), store, tmp_path / "a", Helpers())
    original, calls = loop.update, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        original(*arguments)

    monkeypatch.setattr(loop, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        loop.train(fresh(), store, tmp_path / "b", Helpers(), save_seconds=0.0)
    monkeypatch.setattr(loop, "update", original)
    resumed = fresh()
    loop.resume(resumed, tmp_path / "b")
    assert 0 < resumed.step < TINY.steps
    loop.train(resumed, store, tmp_path / "b", Helpers())
    assert resumed.curve == unbroken.curve
    assert rows(tmp_path / "a") == rows(tmp_path / "b")
    weights = [load_file(tmp_path / f / "exponet-mobile.safetensors") for f in "ab"]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_nan_stops_and_keeps_the_last_good_checkpoint(tmp_path, store):
    training = fresh()
    loop.save(training, tmp_path)
    kept = (tmp_path / loop.CHECKPOINT).read_bytes()
    broken = dataclasses.replace(
        OBJECTIVES["correction-rgb"], loss=lambda network, batch, helpers: torch.tensor(torch.nan)
    )
    training = dataclasses.replace(training, objective=broken)
    with pytest.raises(TrainingError, match="is nan at step 0; the last good checkpoint is kept"):
        loop.train(training, store, tmp_path, Helpers())
    assert (tmp_path / loop.CHECKPOINT).read_bytes() == kept


def test_a_checkpoint_of_another_preset_is_refused(tmp_path):
    loop.save(fresh(), tmp_path)
    other = fresh(dataclasses.replace(TINY, preset="exponet-double-mobile"))
    with pytest.raises(UsageError, match="a checkpoint of exponet-mobile, not of exponet-double"):
        loop.resume(other, tmp_path)


@pytest.mark.parametrize("name", ["float weights", "start", "data"])
def test_a_checkpoint_that_started_from_something_else_is_refused(name, tmp_path):
    origin = {"float weights": "a1", "start": "plain", "data": "photos"}
    loop.save(dataclasses.replace(fresh(), origin=origin), tmp_path)
    loop.resume(dataclasses.replace(fresh(), origin=dict(origin)), tmp_path)
    other = dataclasses.replace(fresh(), origin=origin | {name: "b2"})
    with pytest.raises(UsageError, match=f"with other {name} \\({origin[name]}\\); expected b2: "):
        loop.resume(other, tmp_path)


def test_frozen_weights_stay_and_the_rest_moves(tmp_path, data_folder):
    small = dataclasses.replace(
        RECIPES["twophase-mobile"], steps=2, batch=1, crop=32, scenes=2, scene_size=48
    )
    phase1 = zoo.get("twophase-unet-mobile").build().state_dict()
    (tmp_path / "scenes").mkdir()
    store = make(read_sources(data_folder), "fusion", tmp_path / "scenes", count=2, size=48, seed=0)
    training = loop.begin(small, phase1, torch.device("cpu"))
    before = {k: v.clone() for k, v in training.network.state_dict().items()}
    loop.train(training, store, tmp_path, Helpers())
    after = training.network.state_dict()
    for name, value in after.items():
        frozen = name.startswith("phase1.")
        assert torch.equal(value, before[name]) == frozen, name
        if frozen:
            assert torch.equal(value, phase1[name])


def test_a_start_that_fits_nothing_is_refused():
    with pytest.raises(UsageError, match="no weight of the given start fits"):
        loop.begin(TINY, {"other": torch.zeros(1)}, torch.device("cpu"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_a_step(name, tmp_path, data_folder):
    crop = 64
    tiny = dataclasses.replace(
        RECIPES[name], steps=1, batch=2, crop=crop, scenes=2, scene_size=crop, start=None
    )
    teacher = zoo.get(tiny.teacher).build() if tiny.teacher else None
    kind = OBJECTIVES[tiny.objective].scenes
    store = make(read_sources(data_folder), kind, tmp_path / "s", count=2, size=crop, seed=0)
    training = loop.train(fresh(tiny), store, tmp_path / "r", Helpers(teacher))
    assert training.step == 1
    assert training.curve[0][1] > 0


def test_a_network_without_a_recipe_is_named():
    with pytest.raises(UsageError, match="exponet-full has no recipe"):
        recipe("exponet-full")


def test_an_unknown_device_is_refused(tmp_path, data_folder):
    with pytest.raises(UsageError, match="no device 'warp'"):
        run(TINY, Settings(data_folder, tmp_path, device="warp"))


@pytest.mark.slow
def test_killed_process_resumes_to_the_same_curve(tmp_path, data_folder):
    command = [
        *(sys.executable, "-m", "edgeexpo", "train", "exponet", "--data", str(data_folder)),
        *("--steps", "60", "--batch", "2", "--crop", "64", "--scenes", "20", "--scene-size", "64"),
        *("--save-every", "0", "--threads", "1", "--scenes-dir", str(tmp_path / "scenes")),
    ]
    subprocess.run([*command, "-o", tmp_path / "a"], check=True, capture_output=True)
    process = subprocess.Popen([*command, "-o", tmp_path / "b"], stderr=subprocess.DEVNULL)
    while not (tmp_path / "b" / loop.CHECKPOINT).exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    state = torch.load(tmp_path / "b" / loop.CHECKPOINT, weights_only=True)
    assert 0 < state["step"] < 60
    subprocess.run([*command, "-o", tmp_path / "b"], check=True, capture_output=True)
    assert rows(tmp_path / "a") == rows(tmp_path / "b")


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.clear(),
        lambda s: s.pop("network"),
        lambda s: s.update(step="two"),
        lambda s: s.update(step=1.5),
        lambda s: s.update(curve=[(0, 1.0)]),
        lambda s: s.update(origin=None),
        lambda s: s["network"].popitem(),
        lambda s: s["mean"].update({next(iter(s["mean"])): torch.zeros(1)}),
        lambda s: s["optimizer"].update(param_groups=[]),
    ],
)
def test_a_damaged_checkpoint_is_named(tmp_path, store, change):
    training = fresh(dataclasses.replace(TINY, steps=1))
    training.origin = {"variant": "plain"}
    loop.train(training, store, tmp_path, Helpers())
    path = tmp_path / loop.CHECKPOINT
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)
    with pytest.raises(UsageError, match=r"checkpoint\.pt is a damaged checkpoint of a training"):
        loop.resume(training, tmp_path)
