"""The LiteRT engine on a real file: sizes, tiles, threads, its own process, refused files."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.errors import EngineError
from edgeexpo.export.lowering import lower
from edgeexpo.program.capture import capture
from edgeexpo.quantization.ptq import quantize_program
from edgeexpo.runtime.engines.base import EngineOptions, open_engine
from edgeexpo.runtime.engines.isolated import IsolatedEngine
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import ModelSpec
from edgeexpo.targets import target_named
from tests.support.pictures import smooth_picture

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lowered(residual, tensors, pictures, tmp_path_factory):
    """Lower the residual network in INT8; return its spec, file and sizes."""
    folder = tmp_path_factory.mktemp("litert")
    program = quantize_program(capture(residual, *tensors, (80, 80)), pictures)
    artifact = lower(program, "litert", "net", folder)
    spec = ModelSpec("net", "t", ("x",), *tensors, halo=3)
    return spec, folder / artifact.file, artifact.sizes


def tensor(picture):
    return {"y0": np.ascontiguousarray(picture.transpose(2, 0, 1)[None])}


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_tiles_equal_the_whole_picture(lowered, threads):
    spec, file, sizes = lowered
    engine = open_engine("litert", file, spec, EngineOptions(threads))
    picture = smooth_picture(130, 101, 5)
    whole = engine.run(tensor(picture))["y_hat"][0].transpose(1, 2, 0)
    tiled = run_tiled(lambda x: engine.run(x)["y_hat"], {"y0": picture}, spec.footprint, sizes)
    np.testing.assert_array_equal(tiled, whole)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.run(tensor(picture))


def test_a_picture_outlives_the_runs_after_it(lowered):
    spec, file, _ = lowered
    engine = open_engine("litert", file, spec)
    first, second = (tensor(smooth_picture(64, 64, seed)) for seed in (1, 2))
    kept = engine.run(first)["y_hat"]
    copy = kept.copy()
    engine.run(second)
    np.testing.assert_array_equal(kept, copy)


def test_a_process_of_its_own_gives_the_same(lowered):
    spec, file, _ = lowered
    given = tensor(smooth_picture(64, 48, 3))
    here = open_engine("litert", file, spec, EngineOptions(1)).run(given)["y_hat"]
    engine = IsolatedEngine(target_named("litert").runner.engine, spec, EngineOptions(1, (0,)))
    engine.load(file)
    assert engine.name == "litert"
    np.testing.assert_array_equal(engine.run(given)["y_hat"], here)
    engine.close()


@pytest.mark.parametrize("wrong", [{"other": (1, 3, 64, 64)}, {"y0": (1, 4, 64, 64)}, {}], ids=str)
def test_what_it_refuses_is_an_engine_error(lowered, wrong):
    spec, file, _ = lowered
    engine = open_engine("litert", file, spec)
    with pytest.raises(EngineError, match="LiteRT failed") as caught:
        engine.run({name: np.zeros(shape, np.float32) for name, shape in wrong.items()})
    assert "\n" not in str(caught.value)
    good = tensor(smooth_picture(64, 64, 1))
    assert engine.run(good)["y_hat"].shape == (1, 3, 64, 64)


def test_loading_says_nothing(lowered, capfd):
    spec, file, _ = lowered
    open_engine("litert", file, spec).run(tensor(smooth_picture(64, 64, 1)))
    assert capfd.readouterr() == ("", "")
