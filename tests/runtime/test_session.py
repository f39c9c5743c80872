from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.files import digest
from edgeexpo.bundle.manifest import Artifact, Manifest, write_manifest
from edgeexpo.errors import BundleError, EngineError, PictureError, UsageError
from edgeexpo.runtime import FakeEngine, load
from edgeexpo.spec import ExportRecipe, ModelSpec, SizeRange, StageSpec, TensorSpec


@pytest.fixture
def bundle(tmp_path):
    """Write a bundle whose network returns its input."""
    (tmp_path / "net.int8.onnx").write_bytes(b"stand-in")
    sizes = SizeRange(largest=(64, 64), smallest=(16, 16))
    artifact = Artifact(
        "net.int8.onnx", "onnx", "int8", digest(tmp_path / "net.int8.onnx"), 8, sizes
    )
    model = ModelSpec(
        name="net",
        task="t",
        frames=("under", "over"),
        inputs=(TensorSpec("y0"),),
        outputs=(TensorSpec("y_hat"),),
        halo=2,
        front=StageSpec("intermediate", {"response": "srgb"}),
        back=StageSpec("exposure-fusion"),
    )
    recipe = ExportRecipe("net", ("onnx",), ("int8",), (64, 64), "none", (), {})
    write_manifest(tmp_path, Manifest(model, recipe, (artifact,), {}, {}))
    return tmp_path


def identity():
    return FakeEngine(lambda inputs: {"y_hat": inputs["y0"]})


def picture(value, kind=np.uint8, shape=(40, 70, 3)):
    return np.full(shape, value, kind)


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (np.uint8, 60, 180),
        (np.uint16, 15000, 46000),
        (np.float32, 0.2, 0.7),
        (np.float16, 0.2, 0.7),
    ],
)
def test_the_picture_is_of_the_frames_kind_and_size(bundle, kind, low, high):
    with load(bundle, engine=identity()) as session:
        found = session(picture(low, kind), picture(high, kind), ev=4.0)
    assert found.dtype == kind
    assert found.shape == (40, 70, 3)
    assert low <= found.mean() <= high


def test_frames_can_be_named_and_fusion_declined(bundle):
    with load(bundle, engine=identity()) as session:
        named = session(over=picture(180), under=picture(60), ev=4.0, fuse=False)
        ordered = session(picture(60), picture(180), ev=4.0, fuse=False)
        fused = session(picture(60), picture(180), ev=4.0)
    np.testing.assert_array_equal(named, ordered)
    assert not np.array_equal(fused, ordered)


def test_pictures_larger_than_the_artefact_run_in_tiles(bundle):
    engine = identity()
    with load(bundle, engine=engine) as session:
        big = [picture(v, shape=(150, 200, 3)) for v in (60, 180)]
        assert session(*big).shape == (150, 200, 3)
    assert engine.runs > 4


@pytest.mark.slow
def test_twelve_megapixels(bundle):
    with load(bundle, engine=identity()) as session:
        frames = [picture(v, shape=(3000, 4000, 3)) for v in (60, 180)]
        assert session(*frames, ev=4.0).shape == (3000, 4000, 3)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([picture(1)], "was given 1 frame"),
        ([picture(1)] * 3, "was given 3 frame"),
        ([picture(1), picture(1, shape=(40, 71, 3))], "one size and kind"),
        ([picture(1), picture(0.5, np.float32)], "one size and kind"),
        ([picture(1, shape=(40, 70, 4))] * 2, "drop the alpha channel"),
        ([picture(1, shape=(40, 70))] * 2, "expected HxWx3"),
        ([picture(1, shape=(1, 1, 3))] * 2, "at least 16x16"),
        ([picture(1, np.int32)] * 2, "expected uint8"),
        ([picture(2.0, np.float32)] * 2, r"expected \[0,1\]"),
        ([picture(np.nan, np.float32)] * 2, r"expected \[0,1\]"),
    ],
)
def test_bad_frames_are_refused_and_the_session_goes_on(bundle, frames, words):
    with load(bundle, engine=identity()) as session:
        with pytest.raises((PictureError, UsageError), match=words) as caught:
            session(*frames)
        assert "\n" not in str(caught.value)
        assert session(picture(60), picture(180)).shape == (40, 70, 3)


def test_a_changed_byte_is_refused(bundle):
    (bundle / "net.int8.onnx").write_bytes(b"stand-im")
    with pytest.raises(BundleError, match="was changed after the export"):
        load(bundle, engine=identity())


def test_a_closed_session_refuses(bundle):
    session = load(bundle, engine=identity())
    session.close()
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session(picture(60), picture(180))


def test_a_missing_artefact_is_named(bundle):
    with pytest.raises(BundleError, match="it has: onnx int8"):
        load(bundle, precision="fp32")
    assert Bundle.open(bundle).select().file == "net.int8.onnx"


def test_an_artefact_that_the_engine_refuses_is_an_engine_error(bundle):
    with pytest.raises(EngineError, match="ONNX Runtime cannot load"):
        load(bundle)


def test_importing_the_runtime_brings_no_heavy_library():
    heavy = ("torch", "onnxruntime", "PIL", "skimage", "coremltools", "executorch")
    code = f"import sys, edgeexpo.runtime; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
