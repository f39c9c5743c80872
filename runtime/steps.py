"""One set of frames through a model, step by step: each step may run on a thread of its own."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeexpo.errors import EngineError, PictureError, UsageError
from edgeexpo.imaging.resize import resize
from edgeexpo.runtime.engine import Arrays, Engine
from edgeexpo.runtime.fitting import network_size
from edgeexpo.runtime.frames import (
    Frame,
    FrameFormat,
    check_same,
    depth,
    empty,
    from_rgb,
    size_in_bytes,
    upright,
)
from edgeexpo.runtime.observation import BYTES, COUNT, DURATION, Observer
from edgeexpo.runtime.stages import back, front, gives_picture
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import ModelSpec, SizeRange


@dataclass
class Job:
    """One set of frames on its way: what each step leaves for the next.

    Attributes:
        frames: As they were given, in the order of the model's.
        ev, fuse, strength: As for calling a session.
        pictures: The frames, HxWx3 float32 RGB in [0,1].
        inputs: The network's, HxWxC float32 by name.
        output: The network's, HxWxC float32.
        picture: HxWx3 float32 sRGB, or ``output`` where the model gives no picture.
    """

    frames: Sequence[Frame]
    ev: float | None = None
    fuse: bool = True
    strength: float = 1.0
    pictures: Sequence[np.ndarray] = ()
    inputs: Arrays = field(default_factory=dict)
    output: np.ndarray = field(default_factory=lambda: np.empty(0))
    picture: np.ndarray = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class Formats:
    """How frames are read and pictures are written."""

    frames: FrameFormat
    output: FrameFormat


class Steps:
    """The steps of a model around one engine, which runs for one thread at a time.

    Args:
        spec: The model.
        sizes: What the artefact accepts.
        engine: What runs it.
        formats: Of frames and pictures.
        observe: Is told durations and counts.
    """

    def __init__(
        self,
        spec: ModelSpec,
        sizes: SizeRange,
        engine: Engine,
        formats: Formats,
        observe: Observer,
    ) -> None:
        self._spec, self._sizes, self._formats = spec, sizes, formats
        self._observe = observe
        self._engine: Engine | None = engine
        self._lock = threading.Lock()
        self._process = os.getpid()

    def begin(self, job: Job) -> Job:
        """Refuse, before any work, what no step could use.

        Raises:
            UsageError: ``strength`` is not 1 and the model corrects nothing.
            PictureError: The frames differ in size or kind.
        """
        _check_strength(self._spec, job)
        check_same(self._spec.frames, job.frames)
        return job

    def prepare(self, job: Job) -> Job:
        """Frames to the network's inputs. Raises :class:`PictureError` for a bad frame."""
        with self._timed("front"):
            named = zip(self._spec.frames, job.frames, strict=True)
            job.pictures = [upright(name, f, self._formats.frames) for name, f in named]
            seen, size = job.pictures, job.pictures[0].shape[:2]
            fitting = network_size(self._spec, self._sizes, size[0], size[1])
            if fitting != size:
                seen = [resize(picture, fitting) for picture in seen]
            job.inputs = front(self._spec, seen, job.ev)
        self._observe(BYTES, sum(map(size_in_bytes, job.frames)), {})
        return job

    def infer(self, job: Job) -> Job:
        """Inputs to the network's output. Raises :class:`EngineError`."""
        name = self._spec.outputs[0].name
        with self._lock, self._timed("network"):
            run = self.engine().run
            job.output = run_tiled(
                lambda part: run(part)[name],
                job.inputs,
                self._spec.halo,
                self._sizes,
                self._spec.fixed_inputs,
            )
        return job

    def finish(self, job: Job) -> Job:
        """The network's output to the picture."""
        with self._timed("back"):
            output, spec = job.output, self._spec
            if spec.residual is not None:
                output = _blended(job.inputs[spec.residual], output, job.strength)
            picture = back(spec, output, job.pictures, job.fuse)
            if spec.kind == "correction" and job.fuse:
                picture = _blended(job.pictures[0], picture, job.strength)
            job.picture = picture
        self._observe(COUNT, 1, {})
        return job

    def delivered(self, job: Job) -> np.ndarray:
        """The picture in the output format, in new memory; what is none as it is."""
        if not gives_picture(self._spec, job.fuse):
            return job.picture
        height, width = job.picture.shape[:2]
        kind = depth(job.frames[0], self._formats.frames)
        out = empty(height, width, self._formats.output, kind)
        from_rgb(job.picture, self._formats.output, out)
        return out

    def deliver(self, job: Job, out: Frame) -> None:
        """Write the picture into ``out``. Raises :class:`PictureError` when it does not fit."""
        if gives_picture(self._spec, job.fuse):
            from_rgb(job.picture, self._formats.output, out)
            return
        shape = job.picture.shape
        if not (isinstance(out, np.ndarray) and out.dtype.name == "float32" and out.shape == shape):
            size = "x".join(map(str, shape))
            raise PictureError(f"the output does not fit; expected a {size} float32 array")
        np.copyto(out, job.picture)

    def engine(self) -> Engine:
        """The engine. Raises :class:`EngineError` after close, and in a forked process."""
        if self._process != os.getpid():
            raise EngineError(
                "the session was loaded in another process and engines do not survive a fork; "
                "load the bundle again in this one"
            )
        if self._engine is None:
            raise EngineError("the session is closed; load the bundle again")
        return self._engine

    def close(self) -> None:
        """Free the engine, once what runs has run; calling it twice is harmless."""
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._observe(DURATION, time.perf_counter() - start, {"stage": stage})


def in_order(
    expected: Sequence[str], frames: Sequence[Frame], named: Mapping[str, Frame]
) -> list[Frame]:
    """Frames in the order of ``expected``, given in that order or by name.

    Raises:
        UsageError: One is missing, too many, or of another name.
    """
    names = [*expected[: len(frames)], *named]
    if len(frames) + len(named) != len(expected) or set(names) != set(expected):
        found = f"{len(frames)} frame(s)" + (f" and {', '.join(named)}" if named else "")
        raise UsageError(f"the session was given {found}; expected {', '.join(expected)}")
    by_name = {**dict(zip(expected, frames, strict=False)), **named}
    return [by_name[name] for name in expected]


def _check_strength(spec: ModelSpec, job: Job) -> None:
    if not 0 <= job.strength <= 1:
        raise UsageError(f"strength is {job.strength}; expected 0 to 1")
    corrects = spec.residual is not None or (spec.kind == "correction" and job.fuse)
    if job.strength != 1 and not corrects:
        raise UsageError(
            f"strength is {job.strength} and the output of {spec.name} is no correction of its "
            "input; leave strength at 1"
        )


def _blended(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    return end if share == 1 else start + np.float32(share) * (end - start)
