"""A session refuses unusable frames with a typed error, and the next frame runs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from edgeexpo.errors import EngineError, PictureError, UsageError
from edgeexpo.runtime import FakeEngine, FrameFormat, load
from tests.support.tiny_bundle import write_bundle

ONE = {"frames": ("picture",), "front": None, "back": None}
NV12, I420, P010 = (FrameFormat(layout) for layout in ("nv12", "i420", "p010"))
H, W = 24, 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("one") / "b", **ONE)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_bundle(tmp_path_factory.mktemp("two") / "b")


def identity():
    return FakeEngine(lambda inputs: {"y_hat": inputs["y0"]})


def good(layout="rgb"):
    rng = np.random.default_rng(0)
    if layout == "p010":
        return rng.integers(0, 1024, (H * 3 // 2, W), np.uint16) << 6
    shape = (H * 3 // 2, W) if layout in ("nv12", "i420") else (H, W, 3)
    return rng.integers(0, 256, shape, np.uint8)


def hole(value, kind):
    frame = np.full((H, W, 3), 0.5, kind)
    frame[5, 7, 1] = value
    return frame


def refused(folder, frame, words, frame_format=None):
    """Check that a session refuses ``frame`` in one line and runs the next one unharmed."""
    frame_format = frame_format or FrameFormat()
    whole = good(frame_format.layout)
    with load(folder, engine=identity(), frames=frame_format) as session:
        before, out = session(whole), np.zeros_like(whole)
        with pytest.raises((PictureError, UsageError), match=words) as caught:
            session(frame)
        assert "\n" not in str(caught.value)
        with pytest.raises((PictureError, UsageError)):
            session.run_into(out, frame)
        assert not out.any()
        np.testing.assert_array_equal(session(whole), before)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (np.zeros((0, W, 3), np.uint8), "found 0x32x3 uint8; expected HxWx3"),
        (np.zeros((H, 0, 3), np.uint8), "found 24x0x3"),
        (np.zeros((H, W, 0), np.uint8), "found 24x32x0"),
        (np.zeros((), np.uint8), "found a scalar"),
        (np.zeros((1, H, W, 3), np.uint8), "found 1x24x32x3"),
        (np.zeros((2, 2, 3), np.uint8), "expected at least 16x16"),
        (np.zeros((H, W, 3), np.int16), "int16; expected uint8"),
        (np.zeros((H, W, 3), np.float64), "float64; expected uint8"),
        (np.zeros((H, W, 3), np.complex64), "complex64; expected uint8"),
        (np.zeros((H, W, 3), bool), "bool; expected uint8"),
        (np.zeros((H, W, 3), object), "object; expected uint8"),
        (np.zeros((H, W, 3), "S1"), "expected uint8"),
        (np.zeros((H, W, 3), [("r", "u1")]), "expected uint8"),
        (hole(np.nan, np.float32), r"expected \[0,1\]"),
        (hole(np.nan, np.float16), r"expected \[0,1\]"),
        (hole(np.inf, np.float32), r"expected \[0,1\]"),
        (hole(-np.inf, np.float16), r"expected \[0,1\]"),
        (hole(np.float16(65504), np.float16), r"expected \[0,1\]"),
        (hole(1.1, np.float32), r"expected \[0,1\]"),
        (None, "found NoneType; expected an array, or planes"),
        (3, "found int; expected an array, or planes"),
        ("frame.png", "found str; expected an array, or planes"),
        (b"bytes", "found bytes; expected an array, or planes"),
        (memoryview(bytes(12)), "found memoryview; expected an array, or planes"),
        ([], "found list; expected one array"),
        ([np.zeros((H, W, 3), np.uint8)], "found list; expected one array"),
        ({"picture": 1}, "found dict; expected an array, or planes"),
    ],
)
def test_frames_of_numbers(folder, frame, words):
    refused(folder, frame, words)


@pytest.mark.parametrize(
    ("frame", "frame_format", "words"),
    [
        (good("nv12")[:-1], NV12, "found 35x32; expected 3H/2 rows"),
        (good("nv12")[:, :-1], NV12, "found 36x31; expected 3H/2 rows"),
        (good("nv12").ravel()[:-1], NV12, "expected 3H/2 rows"),
        (np.zeros((0, W), np.uint8), NV12, "found 0x32"),
        (good("nv12").astype(np.uint16), NV12, "found uint16; expected uint8"),
        (good("nv12"), P010, "found uint8; expected uint16"),
        (good("nv12").astype(np.float32), NV12, "found float32; expected uint8"),
        ((good("nv12")[:H], good("nv12")[H:-1]), NV12, "found 11x32 for UV"),
        ((good("nv12")[:H], good("nv12")[H:, :-2]), NV12, "found 12x30 for UV"),
        ((good("nv12")[: H - 1], good("nv12")[H:]), NV12, "both even"),
        ((good("nv12")[:H], None), NV12, "found 2 planes; expected 2"),
        ((good("nv12")[:H],) * 3, NV12, "found 3 planes; expected 2"),
        ((), NV12, "found 0 planes; expected 2"),
        ((good("i420")[:H], np.zeros((H // 2, W // 2), np.uint8)), I420, "found 2 planes"),
        (
            (good("i420")[:H], *[np.zeros((H // 2, W // 2 - 1), np.uint8)] * 2),
            I420,
            "found 12x15 for a chroma plane",
        ),
        (None, NV12, "found NoneType"),
        (7, I420, "found int"),
    ],
)
def test_frames_of_a_camera(folder, frame, frame_format, words):
    refused(folder, frame, words, frame_format)


def overlapping():
    """Return rows of 96 bytes that start 20 bytes apart."""
    return as_strided(np.zeros(H * W * 3, np.uint8), (H, W, 3), (20, 3, 1))


def beyond():
    """Return a frame whose last row ends behind the buffer."""
    return as_strided(np.zeros(H * W * 3 - 1, np.uint8), (H, W, 3), (W * 3, 3, 1))


def before():
    """Return a frame whose rows go upwards from the buffer's first row."""
    return as_strided(np.zeros(H * W * 3, np.uint8), (H, W, 3), (-W * 3, 3, 1))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (overlapping(), "strides of 20, 3, 1 bytes overlap"),
        (beyond(), "lies partly outside its buffer"),
        (before(), "lies partly outside its buffer"),
    ],
)
def test_strides_that_do_not_fit(folder, frame, words):
    refused(folder, frame, words)


@pytest.mark.parametrize(
    ("plane", "words"),
    [
        (as_strided(np.zeros(H * W, np.uint8), (H, W), (W - 2, 1)), "overlap"),
        (as_strided(np.zeros(H * W - 1, np.uint8), (H, W), (W, 1)), "outside its buffer"),
        (as_strided(np.zeros(H * W, np.uint8), (H, W), (W + 16, 1)), "outside its buffer"),
    ],
)
def test_strides_of_planes_that_do_not_fit(folder, plane, words):
    refused(folder, (plane, np.zeros((H // 2, W), np.uint8)), words, NV12)


def test_frames_in_any_memory_are_read_where_they_are(folder):
    """Frames may be not contiguous, upside down, padded, read-only, byte-swapped or repeated."""
    frame = good()
    wide = np.zeros((H, W + 5, 3), np.uint8)
    wide[:, :W] = frame
    frozen = np.frombuffer(frame.tobytes(), np.uint8).reshape(frame.shape)
    assert not frozen.flags.writeable
    seen = [wide[:, :W], frame[::-1].copy()[::-1], np.asfortranarray(frame), frozen]
    seen += [frame[:, ::-1].copy()[:, ::-1], np.repeat(frame, 2, 0)[::2]]
    with load(folder, engine=identity()) as session:
        for same in seen:
            np.testing.assert_array_equal(session(same), frame)
        swapped = (frame.astype(np.uint16) * 257).astype(">u2")
        np.testing.assert_array_equal(session(swapped), swapped)
        grey = np.broadcast_to(frame[..., :1], frame.shape)
        np.testing.assert_array_equal(session(grey), grey)


def shared_rows(count=H):
    return as_strided(np.zeros((1, W, 3), np.uint8), (count, W, 3), (0, 3, 1))


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (np.frombuffer(bytes(H * W * 3), np.uint8).reshape(H, W, 3), "read-only"),
        (np.zeros((H, W), np.uint8), "expected HxWx3"),
        (np.zeros((H, W + 1, 3), np.uint8), "is 24x33; expected 24x32"),
        (np.zeros((H - 1, W, 3), np.uint8), "is 23x32; expected 24x32"),
        (np.zeros((H, W, 3), np.float64), "expected uint8"),
        (shared_rows(), "overlap"),
        (overlapping(), "overlap"),
        (beyond(), "outside its buffer"),
        (None, "found NoneType"),
        ([[0]], "found list"),
    ],
)
def test_outputs_that_do_not_fit(folder, out, words):
    frame = good()
    with load(folder, engine=identity()) as session:
        with pytest.raises(PictureError, match=words) as caught:
            session.run_into(out, frame)
        assert "\n" not in str(caught.value)
        if isinstance(out, np.ndarray) and "outside" not in words:
            assert not out.any()
        made = np.empty_like(frame)
        session.run_into(made, frame)
        np.testing.assert_array_equal(made, frame)


def test_an_output_that_is_not_contiguous_is_written_where_it_is(folder):
    frame, buffer = good(), np.full((H, W + 5, 3), 7, np.uint8)
    with load(folder, engine=identity()) as session:
        session.run_into(buffer[::-1, :W], frame)
    np.testing.assert_array_equal(buffer[::-1, :W], frame)
    assert (buffer[:, W:] == 7).all()


def test_a_frame_may_be_overwritten_by_its_picture(folder):
    frame = good()
    expected = frame.copy()
    with load(folder, engine=identity()) as session:
        session.run_into(frame, frame)
    np.testing.assert_array_equal(frame, expected)


def test_within_a_memory_budget_a_frame_is_not_overwritten_while_it_is_read(pair):
    under, over = good() // 4, good()
    before = under.copy(), over.copy()
    with load(pair, engine=identity(), memory_mb=64) as session:
        for out in (under, over, over[::-1]):
            with pytest.raises(PictureError, match="lies in the memory of a frame"):
                session.run_into(out, under, over, ev=2.0)
        np.testing.assert_array_equal((under, over), before)
        out = np.empty_like(over)
        session.run_into(out, under, over, ev=2.0)
        np.testing.assert_array_equal(out, session(under, over, ev=2.0))


@pytest.mark.parametrize("ev", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_exposures_that_are_none(pair, ev):
    under, over = good() // 4, good()
    with load(pair, engine=identity()) as session:
        with pytest.raises(UsageError, match="ev is"):
            session(under, over, ev=ev)
        assert session(under, over, ev=2.0).shape == (H, W, 3)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (lambda x: {}, "no output 'y_hat'"),
        (lambda x: {"y": x}, "no output 'y_hat'"),
        (lambda x: {"y_hat": x[0]}, "is 3x24x32 float32"),
        (lambda x: {"y_hat": x[:, :1]}, "is 1x1x24x32"),
        (lambda x: {"y_hat": np.concatenate([x, x])}, "is 2x3x24x32"),
        (lambda x: {"y_hat": x[..., :-1]}, "24x31"),
        (lambda x: {"y_hat": x[..., :1, :1]}, "1x1"),
        (lambda x: {"y_hat": x.astype(object)}, "object"),
        (lambda x: {"y_hat": None}, "is a scalar object"),
    ],
)
def test_outputs_that_the_manifest_does_not_promise(folder, output, words):
    """The fault lies in the engine, not in the frame: an artefact swapped with its manifest."""
    answers = iter([output, lambda x: {"y_hat": x}])
    engine = FakeEngine(lambda inputs: next(answers)(inputs["y0"]))
    with load(folder, engine=engine) as session:
        with pytest.raises(EngineError, match=words) as caught:
            session(good())
        assert "\n" not in str(caught.value)
        np.testing.assert_array_equal(session(good()), good())


@pytest.mark.parametrize("error", [RuntimeError("driver"), MemoryError(), ZeroDivisionError()])
def test_an_engine_that_raises_leaves_the_session_usable(folder, error):
    """An exception of the app's own engine passes through unchanged."""
    answers = iter([error, None])

    def run(inputs):
        if raised := next(answers):
            raise raised
        return {"y_hat": inputs["y0"]}

    with load(folder, engine=FakeEngine(run)) as session:
        with pytest.raises(type(error)):
            session(good())
        np.testing.assert_array_equal(session(good()), good())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_in_the_output_is_an_engine_error(tmp_path, value):
    folder = write_bundle(tmp_path / "b", frames=("picture",), front=None, back=None)
    spoilt = [True, False]

    def network(inputs):
        output = inputs["y0"].copy()
        if spoilt.pop(0):
            output[0, 1, 7, 5] = value
        return {"y_hat": output}

    frame = np.full((32, 48, 3), 90, np.uint8)
    with load(folder, engine=FakeEngine(network)) as session:
        with pytest.raises(EngineError, match="numbers that are not finite"):
            session(frame)
        np.testing.assert_array_equal(session(frame), frame)
