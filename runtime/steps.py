"""The three steps of a model for one set of frames; each step may run on its own thread."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from edgeexpo.errors import EngineError, PictureError
from edgeexpo.imaging.bt2100 import encoded
from edgeexpo.imaging.coded import CodedPicture
from edgeexpo.imaging.kernels import kernels_in_use
from edgeexpo.imaging.raster import Computed, Raster, Window, whole_picture, windows, write_raster
from edgeexpo.imaging.resize import resize
from edgeexpo.imaging.scratch import Scratch, planar
from edgeexpo.runtime.budget import Budget
from edgeexpo.runtime.engines.base import Engine, promised
from edgeexpo.runtime.engines.frames import FrameEngine
from edgeexpo.runtime.frames import (
    Frame,
    apart,
    check_apart,
    depth,
    empty_frame,
    frame_bytes,
    from_rgb,
    upright,
)
from edgeexpo.runtime.job import Formats, Job, check, check_transfers
from edgeexpo.runtime.network_size import network_size
from edgeexpo.runtime.observation import BYTES, COUNT, DURATION, Observer
from edgeexpo.runtime.output_range import unit_range
from edgeexpo.runtime.spool import Spool
from edgeexpo.runtime.stages import finished, front_rasters, gives_picture
from edgeexpo.runtime.tiling import run_windows
from edgeexpo.spec import ModelSpec, SizeRange


class Steps:
    """The steps of a model around one engine, which runs for one thread at a time.

    Args:
        spec: The model.
        sizes: The sizes that the artefact accepts.
        engine: The engine that runs the artefact.
        formats: Formats of frames and pictures.
        observe: Observer of durations and counts.
        budget: Memory and threads for frames and stages.

    Raises:
        UsageError: A format's transfer does not go with the model.
    """

    def __init__(
        self,
        spec: ModelSpec,
        sizes: SizeRange,
        engine: Engine,
        formats: Formats,
        observe: Observer,
        budget: Budget,
    ) -> None:
        check_transfers(spec, formats)
        self._spec, self._formats, self._budget = spec, formats, budget
        self._sizes = sizes
        self._observe = observe
        self._engine: Engine | None = engine
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._idle: deque[Scratch] = deque()

    def begin(self, job: Job, out: Frame | None = None) -> Job:
        """Refuse a job that the steps cannot do, before any work.

        Raises:
            UsageError, PictureError: As :func:`edgeexpo.runtime.job.check`.
            PictureError: The budget is limited and ``out`` lies in the memory of a frame, which is
                still read while ``out`` is written.
        """
        if out is not None and self._budget.memory_mb is not None:
            check_apart(job.frames, out)
        check(self._spec, job)
        if out is not None:
            job.frames = apart(job.frames, out)
        return job

    def prepare(self, job: Job) -> Job:
        """Convert the frames to the network's inputs.

        Raises:
            PictureError: A frame cannot be used, or is too large for the network or the budget.
            BundleError: The front stage cannot be used as the bundle says.
        """
        with contextlib.suppress(IndexError):
            job.memory = self._idle.pop()
        with job.memory.lent(), self._timed("front"):
            named = zip(self._spec.frames, job.frames, strict=True)
            pictures = [upright(name, f, self._formats.frames) for name, f in named]
            height, width = pictures[0].shape[:2]
            _check_only_size(self._spec, (height, width))
            job.budget = self._budget.for_picture(len(pictures), height, width)
            job.budget.window(self._spec, height, width)
            workers = job.budget.workers
            job.pictures = _at_hand(job, pictures)
            tiles = self._tiles(job)
            fitting = network_size(self._spec, tiles, height, width, job.fuse)
            job.copies = None
            if fitting != (height, width):
                job.copies = [resize(p, fitting, workers=workers) for p in job.pictures]
            inputs = front_rasters(self._spec, job.copies or job.pictures, job.ev, workers)
            job.inputs = dict(zip(inputs, _at_hand(job, inputs.values()), strict=True))
        self._observe(BYTES, sum(map(frame_bytes, job.frames)), {})
        return job

    def infer(self, job: Job) -> Job:
        """Compute the network's output from its inputs.

        Raises:
            EngineError: The engine failed, the session is closed, or the output is not finite.
        """
        name = self._spec.outputs[0].name
        with self._lock, job.memory.lent(), self._timed("network"):
            engine = self.engine()
            if isinstance(engine, FrameEngine):
                frames = {n: _codes(r, job) for n, r in job.inputs.items()}
                job.output = CodedPicture(engine.picture(frames))
                return job
            run = engine.run
            job.output = run_windows(
                lambda part: unit_range(
                    self._spec, _finite(promised(run(part), self._spec, part)[name])
                ),
                job.inputs,
                self._spec.footprint,
                self._tiles(job),
                self._spec.fixed_inputs,
                lambda shape: planar(shape) if job.budget.keeps(shape) else Spool(shape),
            )
        return job

    def finish(self, job: Job, out: Frame | None = None) -> Frame:
        """Convert the network's output to the picture, in ``out`` or in new memory.

        A result that is not a picture (:func:`edgeexpo.runtime.stages.gives_picture`) is HxWxC
        float32.

        Raises:
            PictureError: ``out`` does not fit.
            BundleError: The back stage cannot be used as the bundle says.
        """
        with job.memory.lent(), self._timed("back"):
            output, spec = job.output, self._spec
            if spec.residual is not None:
                output = _blended(job.inputs[spec.residual], output, job.strength)
            height, width = job.pictures[0].shape[:2]
            side = job.budget.window(spec, height, width)
            workers = job.budget.workers
            roomy = job.budget.memory_mb is None
            picture = finished(
                spec, output, job.pictures, job.fuse, side, workers, job.inputs, roomy, job.copies
            )
            if spec.kind == "correction" and job.fuse:
                picture = _blended(job.pictures[0], picture, job.strength)
            made = self._delivered(job, picture, out, side)
        job.memory.clear()
        self._idle.append(job.memory)
        self._observe(COUNT, 1, {})
        return made

    def _delivered(self, job: Job, picture: Raster, out: Frame | None, side: int) -> Frame:
        written, shown = self._formats.output, self._shown(picture, job.fuse)
        if shown is not None:
            height, width = shown.shape[:2]
            if out is None:
                kind = depth(job.frames[0], self._formats.frames)
                out = empty_frame(height, width, written, kind)
            from_rgb(shown, written, out, side, job.budget.workers)
            return out
        shape = tuple(picture.shape)
        if out is None:
            out = np.empty(shape, np.float32)
        if not (isinstance(out, np.ndarray) and out.dtype.name == "float32" and out.shape == shape):
            size = "x".join(map(str, shape))
            raise PictureError(f"the output does not fit; expected a {size} float32 array")
        for window in windows(shape, side, side):
            write_raster(picture, window, out[window])
        return out

    def _shown(self, picture: Raster, fuse: bool) -> Raster | None:
        """Return the displayed picture in the output's transfer.

        ``None`` means that the result is not a picture.
        """
        written = self._formats.output
        if gives_picture(self._spec, fuse):
            return picture
        if not (written.is_hdr and fuse):
            return None

        def compute(window: Window, out: np.ndarray) -> None:
            np.copyto(out, encoded(picture[window], written.transfer, written.peak_nits))

        return Computed(picture.shape, compute)

    def _tiles(self, job: Job) -> SizeRange:
        return job.budget.tiles(self._spec, self._sizes)

    def engine(self) -> Engine:
        """Return the engine.

        Raises:
            EngineError: The session is closed, or was loaded in the parent of a forked process.
        """
        if self._process != os.getpid():
            raise EngineError(
                "the session was loaded in another process and engines do not survive a fork; "
                "load the bundle again in this one"
            )
        if self._engine is None:
            raise EngineError("the session is closed; load the bundle again")
        return self._engine

    def close(self) -> None:
        """Free the engine after the current run; a second call is harmless.

        A forked process does nothing, because another thread may have held the lock.
        """
        if self._process != os.getpid():
            return
        with self._lock:
            engine, self._engine = self._engine, None
        self._idle.clear()
        if engine is not None:
            engine.close()

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds, told = time.perf_counter() - start, {"stage": stage}
        if stage != "network":
            told["kernels"] = kernels_in_use()
        self._observe(DURATION, seconds, told)


def _at_hand(job: Job, rasters: Iterable[Raster]) -> list[Raster]:
    """Compute rasters that are read several times once, unless memory is limited.

    Cheap ones, such as integer frames, stay as they are.
    """
    if job.budget.memory_mb is not None:
        return list(rasters)
    return [
        raster
        if isinstance(raster, Computed) and raster.cheap
        else whole_picture(raster, job.budget.workers)
        for raster in rasters
    ]


def _check_only_size(spec: ModelSpec, size: tuple[int, int]) -> None:
    """Refuse frames of another size than a graph that holds its stages takes."""
    wanted = spec.inputs[0].size
    if spec.takes_frames and wanted is not None and size != wanted:
        raise PictureError(
            f"the frames are {size[0]}x{size[1]} (HxW) and the artefact, which holds its stages, "
            f"takes {wanted[0]}x{wanted[1]}; scale them, or export with `standalone` of their size"
        )


def _codes(frame: Raster, job: Job) -> np.ndarray:
    """Return the 8-bit codes of a frame, HxWx3."""
    if isinstance(frame, CodedPicture) and frame.codes.dtype == np.uint8:
        return frame.codes
    values = whole_picture(frame, job.budget.workers)
    return np.asarray(np.rint(np.clip(values, 0, 1) * np.float32(255)), np.uint8)


def _finite(output: np.ndarray) -> np.ndarray:
    # A value that is not finite makes the minimum or the maximum not finite.
    if not (np.isfinite(output.min()) and np.isfinite(output.max())):
        raise EngineError(
            "the network gave numbers that are not finite; find the layer with: edgeexpo debug"
        )
    return output


def _blended(start: Raster, end: Raster, share: float) -> Raster:
    if share == 1:
        return end

    def compute(window: Window, out: np.ndarray) -> None:
        before = start[window]
        write_raster(end, window, out)
        out -= before
        out *= np.float32(share)
        out += before

    return Computed(end.shape, compute)
