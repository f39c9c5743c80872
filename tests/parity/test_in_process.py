"""Where no other process can be had, engines are judged in this one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgeexpo import targets
from edgeexpo.bundle.bundle import Bundle
from edgeexpo.errors import EngineError
from edgeexpo.parity import isolation
from edgeexpo.parity.in_process import InProcessWorker
from edgeexpo.runtime.engines import base as engines
from edgeexpo.runtime.engines import worker
from tests.support.tiny_bundle import write_bundle

PICTURE = {"y0": np.random.default_rng(0).random((1, 3, 48, 40), dtype=np.float32)}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(write_bundle(tmp_path_factory.mktemp("b") / "bundle"))


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend to be on a system without descriptors that another process could be given."""
    monkeypatch.setattr(isolation, "SUPPORTED", False)
    monkeypatch.setattr(worker, "SUPPORTED", False)
    monkeypatch.setattr(isolation, "_idle", [])


@pytest.mark.usefixtures("alone")
def test_this_process_computes_the_same_numbers_and_serves_the_next_engine(bundle: Bundle) -> None:
    spec, path = bundle.manifest.model, bundle.path / "mean.fp32.onnx"
    expected = engines.open_engine("onnx", path, spec).run(PICTURE)["y_hat"]
    for _ in range(2):
        engine = isolation.open_lab_engine("onnx", path, spec)
        assert engine.name == "onnxruntime"
        output = engine.run(PICTURE)["y_hat"]
        assert output.dtype == np.float32
        np.testing.assert_array_equal(output, expected)
        engine.close()
        with pytest.raises(EngineError, match="is closed"):
            engine.run(PICTURE)
    assert [type(idle) for idle in isolation._idle] == [InProcessWorker]


@pytest.mark.usefixtures("alone")
def test_an_undeclared_error_fails_the_artefact_and_not_the_verb(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, spec = bundle.path / "mean.fp32.onnx", bundle.manifest.model
    record = targets.target_named("onnx")
    broken = dataclasses.replace(record.runner, engine="builtins:nothing")
    nothing = dataclasses.replace(record, name="nothing", runner=broken)
    monkeypatch.setattr(targets, "TARGETS", {**targets.TARGETS, "nothing": nothing})
    with pytest.raises(EngineError, match=r"mean.fp32.onnx crashes its engine: AttributeError"):
        isolation.open_lab_engine("nothing", path, spec)


@pytest.mark.usefixtures("alone")
def test_a_process_of_its_own_is_refused_with_the_way_out() -> None:
    with pytest.raises(EngineError, match="needs Linux or macOS; open the bundle without"):
        worker.Worker()
