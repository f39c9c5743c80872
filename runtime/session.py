"""A session: a bundle opened for pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import MissingDependencyError, PictureError, UsageError
from edgeexpo.frame_format import FrameFormat
from edgeexpo.runtime.budget import Budget
from edgeexpo.runtime.engines.base import Engine, EngineOptions, open_engine
from edgeexpo.runtime.frames import Frame
from edgeexpo.runtime.job import Formats, Job, in_order
from edgeexpo.runtime.observation import RESTARTS, Observer, ignore
from edgeexpo.runtime.result import Result, Source
from edgeexpo.runtime.steps import Steps
from edgeexpo.spec import ModelSpec

_WORKERS = 2
"""Threads for frames and stages, which memory limits more than arithmetic."""


class Session:
    """One artefact with its front and back stage: frames in, a picture out.

    Use it as a context manager, or call :meth:`close`. Several threads may call it; the engine
    runs for one of them at a time.

    Args:
        spec: The model.
        artifact: What the engine has loaded.
        engine: What runs it.
        frames: How frames are to be read; HxWx3 RGB by default.
        output: How pictures are to be written; as ``frames`` by default.
        observe: Is told durations and counts (:mod:`edgeexpo.runtime.observation`).
        budget: Memory and threads for frames and stages.
    """

    def __init__(
        self,
        spec: ModelSpec,
        artifact: Artifact,
        engine: Engine,
        frames: FrameFormat | None = None,
        output: FrameFormat | None = None,
        observe: Observer = ignore,
        budget: Budget | None = None,
    ) -> None:
        self.spec = spec
        self.artifact = artifact
        self._observe = observe
        formats = Formats.of(frames, output)
        self._steps = Steps(spec, artifact.sizes, engine, formats, observe, budget or Budget())

    @property
    def engine_name(self) -> str:
        """Name of the engine that does the work."""
        return self._steps.engine().name

    def __call__(
        self,
        *frames: Frame,
        ev: float | None = None,
        fuse: bool = True,
        strength: float = 1.0,
        **named: Frame,
    ) -> np.ndarray:
        """Run the model on one set of frames.

        Args:
            frames: Display-encoded, all of one size and dtype, in the order of ``spec.frames``
                (darkest first), in the session's format (:class:`edgeexpo.runtime.FrameFormat`). By
                default that is HxWx3 RGB: uint8, uint16, or float16 and float32 in [0,1].
            ev: log2 of the exposure ratio of the last and the first frame; ``None`` if unknown.
            fuse: False gives the network's output without the back stage.
            strength: Share of the correction that is applied, 0 to 1. It scales the addition of a
                residual network, or blends the frame with the picture of a correcting network.
            named: Frames by name, instead of ``frames``.

        Returns:
            A picture in the session's output format, of the frames' size and bit depth. A result
            that is not an sRGB picture (radiance, or ``fuse=False`` for a network that gives Y or
            Lab) comes as the network's HxWxC float32. With ``fuse=False`` the size is the network's
            own, too, where :func:`edgeexpo.runtime.network_size.network_size` scaled the frames
            down.

        Raises:
            UsageError: The number or the names of the frames are wrong, ``ev`` is invalid, or
                ``strength`` is not 1 and the network corrects nothing.
            PictureError: A frame cannot be used, or is larger than the artefact and the network
                looks at the whole picture.
            EngineError: The session is closed, or the engine failed.
        """
        job = Job(in_order(self.spec.frames, frames, named), ev, fuse, strength)
        made = self._run(job)
        assert isinstance(made, np.ndarray)  # new memory is one array in every format
        return made

    def run_into(
        self,
        out: Frame,
        *frames: Frame,
        ev: float | None = None,
        strength: float = 1.0,
        **named: Frame,
    ) -> None:
        """Run the model on one set of frames and write the picture into ``out``.

        Args:
            out: Writable frame in the session's output format and of the frames' size, or
                HxWxC float32 where the model gives no sRGB picture.
            frames, ev, strength, named: As for calling the session.

        Raises:
            PictureError: ``out`` does not fit, besides what a call raises; it is untouched then.
        """
        if out is None:
            raise PictureError("found NoneType; expected an array, or planes, to write into")
        job = Job(in_order(self.spec.frames, frames, named), ev, strength=strength)
        self._run(job, out)

    def stream(
        self,
        source: Source,
        *,
        drop: str = "oldest",
        waiting: int = 2,
        deadline_ms: float | None = None,
        ev: float | None = None,
    ) -> AsyncIterator[Result]:
        """Pictures of a stream of frames, in order, as they are ready.

        Frames are prepared, run and finished on a thread each, so that one is made ready while the
        network works on another. Leaving the loop ends the threads.

        Args:
            source: Iterable or async iterable of frames; for a model of several frames, of tuples
                in its order, or of mappings by name.
            drop: When frames come faster than pictures are made, ``oldest`` drops the one that has
                waited longest, ``newest`` the one that comes, ``none`` makes the source wait.
            waiting: Frames that may wait.
            deadline_ms: A frame that is older when its turn comes is dropped.
            ev: As for calling the session.

        Yields:
            :class:`edgeexpo.runtime.Result`.

        Raises:
            UsageError: Unknown ``drop``, or frames that do not go with the model.
            PictureError: A frame cannot be used; the session can go on with another stream.
            EngineError: The session is closed, or the engine failed.
        """
        from edgeexpo.runtime.stream import stream  # brings asyncio, which single shots do not need

        return stream(
            self._steps,
            self.spec.frames,
            source,
            drop=drop,
            waiting=waiting,
            deadline_ms=deadline_ms,
            ev=ev,
            observe=self._observe,
        )

    def _run(self, job: Job, out: Frame | None = None) -> Frame:
        steps = self._steps
        return steps.finish(steps.infer(steps.prepare(steps.begin(job, out))), out)

    def close(self) -> None:
        """Free the engine, once what runs has run; calling it twice is harmless."""
        self._steps.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def load(
    path: str | os.PathLike[str],
    *,
    target: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    options: EngineOptions | None = None,
    memory_mb: float | None = None,
    isolated: bool = False,
    timeout_s: float | None = None,
    engine: Engine | None = None,
    frames: FrameFormat | None = None,
    output: FrameFormat | None = None,
    observe: Observer = ignore,
) -> Session:
    """Open a bundle for pictures.

    Args:
        path: The bundle's folder.
        target: ``onnx``, ``executorch``, ``coreml`` or ``litert``; by default the first of them
            whose engine is installed.
        precision: ``int8``, ``fp16`` or ``fp32``; by default the first of them in the bundle.
        threads: Threads for one run; ``None`` leaves the choice to the engine.
        options: Threads, CPUs and memory of the engine, instead of ``threads``.
        memory_mb: MiB that frames and stages may take for pictures of any size. The engine's memory
            and your own frames are not counted. Pictures are then computed window by window, and
            large intermediate pictures lie in a temporary file. ``None`` takes pictures whole.
        isolated: Run the engine in its own process. When the process dies or hangs, it is started
            again and its run is tried once more.
        timeout_s: Seconds that one run of an isolated engine (of one tile) may take; 10 by default.
        engine: Your own engine, for example a fake one in an app's tests; it is loaded here.
        frames: Format in which frames are read. The default is the manifest's format: HxWx3 RGB
            unless the export was told otherwise.
        output: Format in which pictures are written. The default is ``frames`` if given, else the
            manifest's format.
        observe: Observer of durations and counts (:mod:`edgeexpo.runtime.observation`).

    Raises:
        BundleError: The folder is not a bundle, the artefact is missing, or a file differs from its
            digest.
        UsageError: ``memory_mb`` is too small, or a transfer does not go with the model.
            ``timeout_s`` is invalid or comes without ``isolated``. Your own ``engine`` comes with
            ``isolated`` or ``options``. Both ``options`` and ``threads`` are given.
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact, or does not support ``options``.
    """
    if (isolated and engine is not None) or (timeout_s is not None and not isolated):
        raise UsageError("timeout_s needs isolated=True, and that an engine of the runtime's own")
    if options is not None and (threads is not None or engine is not None):
        raise UsageError(
            "options go with an engine of the runtime's own, and hold the threads, too: "
            "options=EngineOptions(threads=2)"
        )
    options = options or EngineOptions(threads)
    budget = Budget(memory_mb, min(options.threads or os.cpu_count() or 1, _WORKERS))
    bundle = Bundle.open(path)
    spec = bundle.manifest.model
    output = output or frames or bundle.manifest.output
    frames = frames or bundle.manifest.frames
    candidates = bundle.by_preference(target, precision)
    if engine is not None:
        engine.load(bundle.file(candidates[0].file))
        return Session(spec, candidates[0], engine, frames, output, observe, budget)
    candidates = [a for a in candidates if a.precision == candidates[0].precision]
    refusal: MissingDependencyError | None = None
    for candidate in candidates:
        file = bundle.file(candidate.file)
        try:
            opened = (
                _isolated(candidate.target, file, spec, options, timeout_s, observe)
                if isolated
                else open_engine(candidate.target, file, spec, options)
            )
            return Session(spec, candidate, opened, frames, output, observe, budget)
        except MissingDependencyError as error:
            refusal = refusal or error
    assert refusal is not None  # there is at least one candidate
    raise refusal


def _isolated(
    target: str,
    file: Path,
    spec: ModelSpec,
    options: EngineOptions,
    timeout_s: float | None,
    observe: Observer,
) -> Engine:
    if sys.platform == "win32":
        raise UsageError("isolated=True needs Linux or macOS; leave it out on this system")
    from edgeexpo.runtime.engines.isolated import IsolatedEngine  # brings processes and sockets

    def restarted(reason: str) -> None:
        observe(RESTARTS, 1, {"reason": reason})

    engine = IsolatedEngine(target, spec, options, timeout_s, restarted)
    engine.load(file)
    return engine
