"""A session: a bundle opened for pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np

from edgeexpo.bundle.bundle import Bundle
from edgeexpo.bundle.manifest import Artifact
from edgeexpo.errors import EngineError, MissingDependencyError, PictureError, UsageError
from edgeexpo.frame_format import FrameFormat
from edgeexpo.progress import note
from edgeexpo.runtime.budget import Budget
from edgeexpo.runtime.engine_choice import choices, fault_of
from edgeexpo.runtime.engines.base import Engine, EngineOptions, open_engine_class
from edgeexpo.runtime.frames import Frame
from edgeexpo.runtime.job import Formats, Job, in_order
from edgeexpo.runtime.observation import RESTARTS, Observer, ignore
from edgeexpo.runtime.result import Result, Source
from edgeexpo.runtime.steps import Steps
from edgeexpo.spec import ModelSpec, SizeRange

_WORKERS = 2
"""Largest number of threads for frames and stages; memory limits them more than arithmetic."""


class Session:
    """One artefact with its front and back stage: it turns frames into a picture.

    Use it as a context manager, or call :meth:`close`. Several threads may call it; the engine runs
    for one thread at a time. A session that :func:`load` opened with an engine of the runtime's own
    can be pickled: where it is unpickled, the bundle is opened again with the same arguments.

    Args:
        spec: The model.
        sizes: Heights and widths that the engine accepts.
        engine: The engine that runs the network.
        frames: Format in which frames are read; HxWx3 RGB by default.
        output: Format in which pictures are written; the format of ``frames`` by default.
        observe: Observer of durations and counts (:mod:`edgeexpo.runtime.observation`).
        budget: Memory and threads for frames and stages.
        artifact: The bundle's artefact that the engine has loaded; ``None`` where the network
            comes from no bundle.
        reopen: Function that opens the same session again, in another process; ``None`` where
            there is none.

    Raises:
        UsageError: A format's transfer does not go with the model.
    """

    def __init__(
        self,
        spec: ModelSpec,
        sizes: SizeRange,
        engine: Engine,
        frames: FrameFormat | None = None,
        output: FrameFormat | None = None,
        observe: Observer = ignore,
        budget: Budget | None = None,
        artifact: Artifact | None = None,
        reopen: Callable[[], Session] | None = None,
    ) -> None:
        self.spec = spec
        self._reopen = reopen
        self._artifact = artifact
        self._observe = observe
        formats = Formats.of(frames, output)
        self._steps = Steps(spec, sizes, engine, formats, observe, budget or Budget())

    @property
    def artifact(self) -> Artifact:
        """The bundle's artefact that runs.

        Raises:
            UsageError: The session's network comes from no bundle.
        """
        if self._artifact is None:
            raise UsageError("the session has no artefact: its network comes from no bundle")
        return self._artifact

    def __reduce__(self) -> tuple[Callable[[], Session], tuple[()]]:
        if self._reopen is None:
            raise UsageError(
                "a session with an engine of your own cannot be pickled; "
                "open one in each process with edgeexpo.runtime.load"
            )
        return self._reopen, ()

    @property
    def engine_name(self) -> str:
        """Name of the engine that runs the artefact.

        Raises:
            EngineError: The session is closed.
        """
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
        assert isinstance(made, np.ndarray)  # a new frame is one array in every format
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
            out: Writable frame in the session's output format and of the frames' size, or HxWxC
                float32 where the model gives no sRGB picture.
            frames, ev, strength, named: As for calling the session.

        Raises:
            UsageError, EngineError: As for calling the session.
            PictureError: ``out`` does not fit, or a frame cannot be used; ``out`` is then
                unchanged.
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
        """Yield the pictures of a stream of frames, in order, as they become ready.

        Preparing, running and finishing each have their own thread. One set of frames is prepared
        while the network works on another. Leaving the loop ends the threads.

        Args:
            source: Iterable or async iterable of frames. A model of several frames takes tuples in
                its order, or mappings by name.
            drop: What happens when frames come faster than pictures are made. ``oldest`` drops the
                frame that has waited longest, ``newest`` drops the new frame, and ``none`` makes
                the source wait.
            waiting: Number of frames that may wait.
            deadline_ms: Largest age of a frame whose turn comes, in milliseconds; an older one is
                dropped.
            ev: As for calling the session.

        Yields:
            :class:`edgeexpo.runtime.Result`.

        Raises:
            UsageError: ``drop`` or ``waiting`` is invalid, or the frames do not go with the model.
            PictureError: A frame cannot be used; the session can continue with another stream.
            EngineError: The session is closed, or the engine failed.
        """
        from edgeexpo.runtime.stream import stream  # imports asyncio, which a single call avoids

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
        """Free the engine after the current run; a second call is harmless."""
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
    engine: Engine | str | None = None,
    frames: FrameFormat | None = None,
    output: FrameFormat | None = None,
    observe: Observer = ignore,
) -> Session:
    """Open a bundle for pictures.

    An artefact that failed its gates is taken only if ``target``, ``precision`` or ``engine`` names
    it and nothing else. A line on stderr then says so. Within a precision, the times decide that
    ``edgeexpo.bench(bundle, remember=True)`` kept for this bundle and host. Without them, the order
    of the targets decides. Nothing is measured here.

    Args:
        path: The bundle's folder.
        target: A name of :data:`edgeexpo.targets.TARGETS`; by default the first one in the bundle
            whose engine is installed.
        precision: ``int8``, ``fp16`` or ``fp32``; by default the first of them in the bundle.
        threads: Threads for one run; ``None`` leaves the choice to the engine.
        options: Threads, CPUs and memory of the engine, instead of ``threads``.
        memory_mb: MiB that frames and stages may take for pictures of any size. The engine's memory
            and your own frames are not counted. Pictures are then computed window by window, and
            large intermediate pictures lie in a temporary file. ``None`` takes pictures whole.
            Then a picture's own limit is a quarter of the memory that is free when the bundle is
            opened, and 256 MiB at least.
        isolated: Run the engine in its own process. When the process dies or hangs, it is started
            again and its run is tried once more.
        timeout_s: Seconds that one run of an isolated engine (of one tile) may take; 10 by default.
        engine: Name of an engine, such as ``openvino``, instead of the target's own. Or your own
            engine, for example a fake one in an app's tests; it is loaded here.
        frames: Format in which frames are read. The default is the manifest's format: HxWx3 RGB
            unless the export was told otherwise.
        output: Format in which pictures are written. The default is ``frames`` if given, else the
            manifest's format.
        observe: Observer of durations and counts (:mod:`edgeexpo.runtime.observation`).

    Raises:
        BundleError: The folder is not a bundle, the artefact is missing, or a file differs from its
            digest. Or all artefacts failed their gates and none is named.
        UsageError: ``memory_mb`` is too small, no engine has this name, or a transfer does not go
            with the model. ``timeout_s`` is invalid or comes without ``isolated``. Your own
            ``engine`` comes with ``isolated`` or ``options``. Both ``options`` and ``threads`` are
            given.
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact, or does not support ``options``. Or its
            version is known to compute such artefacts wrongly on this processor.

    Example:
        >>> with edgeexpo.runtime.load(bundle.path) as session:
        ...     picture = session(numpy.zeros((64, 64, 3), numpy.uint8))
        >>> picture.shape, picture.dtype.name
        ((64, 64, 3), 'uint8')
    """
    foreign = engine is not None and not isinstance(engine, str)
    if (isolated and foreign) or (timeout_s is not None and not isolated):
        raise UsageError(
            "timeout_s needs isolated=True, which needs an engine of the runtime's own"
        )
    if isolated and sys.platform == "win32":
        raise UsageError("isolated=True needs Linux or macOS; leave it out on this system")
    if options is not None and (threads is not None or foreign):
        raise UsageError(
            "options go with an engine of the runtime's own and set the threads as well: "
            "options=EngineOptions(threads=2)"
        )
    reopen = partial(
        load,
        Path(path).resolve(),
        target=target,
        precision=precision,
        threads=threads,
        options=options,
        memory_mb=memory_mb,
        isolated=isolated,
        timeout_s=timeout_s,
        engine=engine,
        frames=frames,
        output=output,
        observe=observe,
    )
    options = options or EngineOptions(threads)
    workers = min(options.threads or os.cpu_count() or 1, _WORKERS)
    budget = Budget.of_session(memory_mb, workers)
    bundle = Bundle.open(path)
    spec = bundle.manifest.model
    output = output or frames or bundle.manifest.output
    frames = frames or bundle.manifest.frames
    found = choices(bundle, target, precision, engine if isinstance(engine, str) else None)
    for line in found.notes:
        note(line)
    if engine is not None and not isinstance(engine, str):
        artifact = found.ranked[0].artifact
        engine.load(bundle.file(artifact.file))
        return Session(spec, artifact.sizes, engine, frames, output, observe, budget, artifact)
    refusal: MissingDependencyError | EngineError | None = None
    for choice in found.ranked:
        artifact = choice.artifact
        file = bundle.file(artifact.file)
        if fault := fault_of(bundle, choice):
            refusal = refusal or EngineError(fault)
            continue
        try:
            opened = (
                _isolated(choice.runner.engine, file, spec, options, timeout_s, observe)
                if isolated
                else open_engine_class(choice.runner.engine, file, spec, options)
            )
        except MissingDependencyError as error:
            refusal = refusal or error
            continue
        if isinstance(refusal, EngineError):
            note(f"edgeexpo: {refusal}; {artifact.file} runs in {choice.runner.name} instead")
        return Session(
            spec, artifact.sizes, opened, frames, output, observe, budget, artifact, reopen
        )
    assert refusal is not None  # there is at least one choice
    raise refusal


def _isolated(
    engine: str,
    file: Path,
    spec: ModelSpec,
    options: EngineOptions,
    timeout_s: float | None,
    observe: Observer,
) -> Engine:
    from edgeexpo.runtime.engines.isolated import IsolatedEngine  # imports subprocess and socket

    def restarted(reason: str) -> None:
        observe(RESTARTS, 1, {"reason": reason})

    opened = IsolatedEngine(engine, spec, options, timeout_s, restarted)
    opened.load(file)
    return opened
