"""A session: a bundle opened for pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType

import numpy as np

from edgeexpo.artifact import Artifact, Bundle
from edgeexpo.errors import EngineError, MissingDependencyError, PictureError, UsageError
from edgeexpo.imaging.resize import resize
from edgeexpo.runtime.engine import Arrays, Engine, open_engine
from edgeexpo.runtime.fitting import network_size
from edgeexpo.runtime.frames import Frame, FrameFormat, empty, from_rgb, to_rgb
from edgeexpo.runtime.stages import back, front, gives_picture
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import ModelSpec

RGB = FrameFormat()

SMALLEST_SIDE = 16
"""Smallest height and width of a frame, in pixels."""


class Session:
    """One artefact with its front and back stage: frames in, a picture out.

    Use it as a context manager, or call :meth:`close`.

    Args:
        spec: The model.
        artifact: What the engine has loaded.
        engine: What runs it.
        frames: How frames are to be read.
        output: How pictures are to be written; as ``frames`` by default.
    """

    def __init__(
        self,
        spec: ModelSpec,
        artifact: Artifact,
        engine: Engine,
        frames: FrameFormat = RGB,
        output: FrameFormat | None = None,
    ) -> None:
        self.spec = spec
        self.artifact = artifact
        self.frames = frames
        self.output = output or frames
        self._engine: Engine | None = engine

    @property
    def engine_name(self) -> str:
        """Name of the engine that does the work."""
        if self._engine is None:
            raise EngineError("the session is closed; load the bundle again")
        return self._engine.name

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
            frames: Display-encoded, all of one size and kind, in the order of ``spec.frames``
                (darkest first), in the session's format (:class:`edgeexpo.runtime.FrameFormat`): by
                default HxWx3 RGB, uint8, uint16, or float16/float32 in [0,1].
            ev: log2 of the exposure ratio of the last and the first frame; ``None`` if unknown.
            fuse: False gives the network's output without the back stage.
            strength: How much of the correction is applied, 0 to 1: of what a residual network
                adds, or of the way from the frame to a correcting network's picture.
            named: Frames by name instead.

        Returns:
            A picture in the session's output format, of the frames' size and bit depth. What is no
            sRGB picture (radiance, or ``fuse=False``
            for a network that gives Y or Lab) comes as the network's HxWxC float32; with
            ``fuse=False`` the size is the network's own too, where
            :func:`edgeexpo.runtime.fitting.network_size` scaled the frames down.

        Raises:
            UsageError: The number or the names of the frames are wrong, or ``strength`` is not
                1 and the network corrects nothing.
            PictureError: A frame cannot be used, or is larger than the artefact and the network
                looks at the whole picture.
            EngineError: The session is closed, or the engine failed.
        """
        ordered = self._ordered(frames, named)
        picture = self._picture(ordered, ev, fuse, strength)
        if not gives_picture(self.spec, fuse):
            return picture
        height, width = picture.shape[:2]
        out = empty(height, width, self.output, _kind(ordered[0], self.frames))
        from_rgb(picture, self.output, out)
        return out

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
        ordered = self._ordered(frames, named)
        picture = self._picture(ordered, ev, True, strength)
        if gives_picture(self.spec):
            from_rgb(picture, self.output, out)
            return
        if (
            not isinstance(out, np.ndarray)
            or out.shape != picture.shape
            or out.dtype.name != "float32"
        ):
            size = "x".join(map(str, picture.shape))
            raise PictureError(f"the output does not fit; expected a {size} float32 array")
        out[...] = picture

    def _picture(
        self, ordered: Sequence[Frame], ev: float | None, fuse: bool, strength: float
    ) -> np.ndarray:
        """HxWx3 float32 sRGB, or what the network gives where that is no picture."""
        names = self.spec.frames
        _check_strength(self.spec, strength, fuse)
        _same(names, ordered)
        floats = [_upright(n, f, self.frames) for n, f in zip(names, ordered, strict=True)]
        seen, size = floats, floats[0].shape[:2]
        fitting = network_size(self.spec, self.artifact.sizes, *size)
        if fitting != size:
            seen = [resize(frame, fitting) for frame in floats]
        inputs = front(self.spec, seen, ev)
        output = self._network(inputs)
        if self.spec.residual is not None:
            output = _blended(inputs[self.spec.residual], output, strength)
        picture = back(self.spec, output, floats, fuse)
        if self.spec.kind == "correction" and fuse:
            picture = _blended(floats[0], picture, strength)
        return picture

    def _network(self, inputs: Arrays) -> np.ndarray:
        if self._engine is None:
            raise EngineError("the session is closed; load the bundle again")
        name, run = self.spec.outputs[0].name, self._engine.run
        return run_tiled(
            lambda part: run(part)[name],
            inputs,
            self.spec.halo,
            self.artifact.sizes,
            self.spec.fixed_inputs,
        )

    def _ordered(self, frames: Sequence[Frame], named: Mapping[str, Frame]) -> list[Frame]:
        expected = self.spec.frames
        names = [*expected[: len(frames)], *named]
        if len(frames) + len(named) != len(expected) or set(names) != set(expected):
            found = f"{len(frames)} frame(s)" + (f" and {', '.join(named)}" if named else "")
            raise UsageError(f"the session was given {found}; expected {', '.join(expected)}")
        by_name = {**dict(zip(expected, frames, strict=False)), **named}
        return [by_name[name] for name in expected]

    def close(self) -> None:
        """Free the engine; calling it twice is harmless."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

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
    engine: Engine | None = None,
    frames: FrameFormat = RGB,
    output: FrameFormat | None = None,
) -> Session:
    """Open a bundle for pictures.

    Args:
        path: The bundle's folder.
        target: ``onnx``, ``executorch`` or ``coreml``; by default the first of them whose engine
            is installed.
        precision: ``int8``, ``fp16`` or ``fp32``; by default the first of them in the bundle.
        threads: Threads for one run; ``None`` leaves the choice to the engine.
        engine: An engine of your own (a fake one in an app's tests); it is loaded here.
        frames: How frames are to be read; HxWx3 RGB by default.
        output: How pictures are to be written; as ``frames`` by default.

    Raises:
        BundleError: No bundle, no such artefact, or a file that differs from its digest.
        MissingDependencyError: The engine is not installed or does not run on this host.
        EngineError: The engine refuses the artefact.
    """
    bundle = Bundle.open(path)
    spec = bundle.manifest.model
    candidates = bundle.by_preference(target, precision)
    if engine is not None:
        engine.load(bundle.file(candidates[0].file))
        return Session(spec, candidates[0], engine, frames, output)
    candidates = [a for a in candidates if a.precision == candidates[0].precision]
    refusal: MissingDependencyError | None = None
    for candidate in candidates:
        file = bundle.file(candidate.file)
        try:
            opened = open_engine(candidate.target, file, spec, threads)
            return Session(spec, candidate, opened, frames, output)
        except MissingDependencyError as error:
            refusal = refusal or error
    assert refusal is not None  # there is at least one candidate
    raise refusal


def _check_strength(spec: ModelSpec, strength: float, fuse: bool) -> None:
    if not 0 <= strength <= 1:
        raise UsageError(f"strength is {strength}; expected 0 to 1")
    corrects = spec.residual is not None or (spec.kind == "correction" and fuse)
    if strength != 1 and not corrects:
        raise UsageError(
            f"strength is {strength} and the output of {spec.name} is no correction of its input; "
            "leave strength at 1"
        )


def _blended(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    return end if share == 1 else start + np.float32(share) * (end - start)


def _same(names: Sequence[str], frames: Sequence[Frame]) -> None:
    """Refuse frames that differ in size or kind."""
    found = [[(part.shape, part.dtype) for part in _parts(frame)] for frame in frames]
    for name, parts in zip(names, found, strict=True):
        if parts != found[0]:
            shape, kind = parts[0]
            raise PictureError(
                f"frame {name!r} is {'x'.join(map(str, shape))} {kind}, frame {names[0]!r} is "
                f"{'x'.join(map(str, found[0][0][0]))} {found[0][0][1]}; "
                "expected frames of one size and kind"
            )


def _parts(frame: Frame) -> list[np.ndarray]:
    return [frame] if isinstance(frame, np.ndarray) else [np.asarray(part) for part in frame]


def _upright(name: str, frame: Frame, frame_format: FrameFormat) -> np.ndarray:
    try:
        picture = to_rgb(frame, frame_format)
    except PictureError as error:
        raise PictureError(f"frame {name!r}: {error}") from error
    if min(picture.shape[:2]) < SMALLEST_SIDE:
        size = "x".join(map(str, picture.shape[:2]))
        raise PictureError(
            f"frame {name!r}: found {size} pixels; "
            f"expected at least {SMALLEST_SIDE}x{SMALLEST_SIDE} pixels"
        )
    return picture


def _kind(frame: Frame, frame_format: FrameFormat) -> str:
    """Kind of an RGB picture made from ``frame``: as deep as it."""
    return str((frame_format.dtype if frame_format.is_yuv else _parts(frame)[0].dtype).name)
