"""Sessions show the same picture with and without compiled stages, to one code of 255."""

from __future__ import annotations

import numpy as np
import pytest

from edgeexpo.imaging.kernels import numba_problem, using_kernels
from edgeexpo.runtime import FakeEngine, FrameFormat, load
from edgeexpo.runtime.frames import empty_frame
from edgeexpo.spec import StageSpec
from tests.support.tiny_bundle import CORRECTION, FUSED_SMALL, RENDERED, write_bundle

needs_numba = pytest.mark.skipif(numba_problem() is not None, reason="needs the extra fast")

SYSTEMS = {
    "fusion": {
        "front": StageSpec("intermediate", {"levels": 255}),
        "back": StageSpec("exposure-fusion", {"floor": 1e-5}),
    },
    "guided": CORRECTION,
    "fused-small": FUSED_SMALL,
    "rendered": RENDERED,
}


def changed(inputs):
    first = next(iter(inputs.values()))
    return {"y_hat": np.float32(0.9) * first[:, ::-1] + np.float32(0.04)}


def opened(folder, name, layout=None, **options):
    if not folder.exists():
        write_bundle(folder, **SYSTEMS[name])
    return load(folder, engine=FakeEngine(changed), frames=layout, threads=2, **options)


def frames_in(layout, size, count):
    rng, shot = np.random.default_rng(0), empty_frame(*size, layout)
    return [rng.integers(16, 236, shot.shape, shot.dtype) for _ in range(count)]


LAYOUTS = [
    FrameFormat(),
    FrameFormat("bgr", rotation=90),
    FrameFormat("planar", rotation=180, mirror=True),
    FrameFormat("nv12"),
    FrameFormat("p010", rotation=270),
]


@needs_numba
@pytest.mark.parametrize("memory_mb", [None, 32])
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("name", SYSTEMS)
def test_forms_show_the_same_picture(tmp_path, name, layout, memory_mb) -> None:
    count = 1 if name == "guided" else 2
    frames, shown = frames_in(layout, (70, 530), count), []
    for form in ("numpy", "numba"):
        with using_kernels(form), opened(tmp_path / "b", name, layout, memory_mb=memory_mb) as made:
            shown.append(made(*frames).astype(int))
    largest = 1 << (6 if layout.layout == "p010" else 0)
    assert np.abs(shown[0] - shown[1]).max() <= largest


@pytest.mark.parametrize("form", ["numpy", pytest.param("numba", marks=needs_numba)])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_frame_may_be_overwritten_by_its_picture(tmp_path, name, form) -> None:
    frames = frames_in(FrameFormat(), (70, 530), 1 if name == "guided" else 2)
    with using_kernels(form), opened(tmp_path / "b", name) as session:
        expected = session(*frames)
        session.run_into(frames[0][:], *frames)
    np.testing.assert_array_equal(frames[0], expected)


@pytest.mark.parametrize("form", ["numpy", pytest.param("numba", marks=needs_numba)])
def test_stages_say_which_form_computed_them(tmp_path, form) -> None:
    seen = []
    frame = frames_in(FrameFormat(), (64, 64), 1)
    observe = lambda name, value, attributes: seen.append((name, dict(attributes)))  # noqa: E731
    with using_kernels(form), opened(tmp_path / "b", "guided", observe=observe) as session:
        session(*frame)
    told = {a["stage"]: a.get("kernels") for name, a in seen if name == "edgeexpo.frame.duration"}
    assert told == {"front": form, "network": None, "back": form}
