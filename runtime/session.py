"""A session: a bundle opened for pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType

import numpy as np

from edgeexpo.artifact import Artifact, Bundle
from edgeexpo.errors import EngineError, MissingDependencyError, PictureError, UsageError
from edgeexpo.imaging.resize import resize
from edgeexpo.runtime.engine import Arrays, Engine, open_engine
from edgeexpo.runtime.fitting import network_size
from edgeexpo.runtime.stages import back, front, gives_picture
from edgeexpo.runtime.tiling import run_tiled
from edgeexpo.spec import ModelSpec

SMALLEST_SIDE = 16
"""Smallest height and width of a frame, in pixels."""

KINDS = ("uint8", "uint16", "float16", "float32")


class Session:
    """One artefact with its front and back stage: HxWx3 frames in, HxWx3 picture out.

    Use it as a context manager, or call :meth:`close`.
    """

    def __init__(self, spec: ModelSpec, artifact: Artifact, engine: Engine) -> None:
        self.spec = spec
        self.artifact = artifact
        self._engine: Engine | None = engine

    @property
    def engine_name(self) -> str:
        """Name of the engine that does the work."""
        if self._engine is None:
            raise EngineError("the session is closed; load the bundle again")
        return self._engine.name

    def __call__(
        self,
        *frames: np.ndarray,
        ev: float | None = None,
        fuse: bool = True,
        strength: float = 1.0,
        **named: np.ndarray,
    ) -> np.ndarray:
        """Run the model on one set of frames.

        Args:
            frames: HxWx3 RGB, sRGB-encoded, all of one size and kind, in the order of
                ``spec.frames`` (darkest first): uint8, uint16, or float16/float32 in [0,1].
            ev: log2 of the exposure ratio of the last and the first frame; ``None`` if unknown.
            fuse: False gives the network's output without the back stage.
            strength: How much of the correction is applied, 0 to 1: of what a residual network
                adds, or of the way from the frame to a correcting network's picture.
            named: Frames by name instead.

        Returns:
            HxWx3 of the frames' size and kind. What is no sRGB picture (radiance, or ``fuse=False``
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
        _check(self.spec.frames, ordered)
        _check_strength(self.spec, strength, fuse)
        kind = ordered[0].dtype
        floats = [_to_float(frame) for frame in ordered]
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
        return _from_float(picture, kind) if gives_picture(self.spec, fuse) else picture

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

    def _ordered(
        self, frames: Sequence[np.ndarray], named: dict[str, np.ndarray]
    ) -> list[np.ndarray]:
        expected = self.spec.frames
        names = [*expected[: len(frames)], *named]
        if len(frames) + len(named) != len(expected) or set(names) != set(expected):
            found = f"{len(frames)} frame(s)" + (f" and {', '.join(named)}" if named else "")
            raise UsageError(f"the session was given {found}; expected {', '.join(expected)}")
        by_name = {**dict(zip(expected, frames, strict=False)), **named}
        return [np.asarray(by_name[name]) for name in expected]

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
) -> Session:
    """Open a bundle for pictures.

    Args:
        path: The bundle's folder.
        target: ``onnx``, ``executorch`` or ``coreml``; by default the first of them whose engine
            is installed.
        precision: ``int8``, ``fp16`` or ``fp32``; by default the first of them in the bundle.
        threads: Threads for one run; ``None`` leaves the choice to the engine.
        engine: An engine of your own (a fake one in an app's tests); it is loaded here.

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
        return Session(spec, candidates[0], engine)
    candidates = [a for a in candidates if a.precision == candidates[0].precision]
    refusal: MissingDependencyError | None = None
    for candidate in candidates:
        file = bundle.file(candidate.file)
        try:
            return Session(spec, candidate, open_engine(candidate.target, file, spec, threads))
        except MissingDependencyError as error:
            refusal = refusal or error
    assert refusal is not None  # there is at least one candidate
    raise refusal


def _check(names: Sequence[str], frames: Sequence[np.ndarray]) -> None:
    for name, frame in zip(names, frames, strict=True):
        found = f"frame {name!r} is {'x'.join(map(str, frame.shape)) or 'a scalar'} {frame.dtype}"
        if frame.ndim != 3 or frame.shape[2] != 3:
            hint = " (drop the alpha channel)" if frame.ndim == 3 and frame.shape[2] == 4 else ""
            raise PictureError(f"{found}; expected HxWx3{hint}")
        if frame.dtype.name not in KINDS:
            raise PictureError(f"{found}; expected {', '.join(KINDS)}")
        if min(frame.shape[:2]) < SMALLEST_SIDE:
            raise PictureError(f"{found}; expected at least {SMALLEST_SIDE}x{SMALLEST_SIDE} pixels")
        if frame.shape != frames[0].shape or frame.dtype != frames[0].dtype:
            first = frames[0]
            raise PictureError(
                f"{found}, frame {names[0]!r} is {'x'.join(map(str, first.shape))} {first.dtype}; "
                "expected frames of one size and kind"
            )
        if frame.dtype.kind == "f" and not (frame.min() >= -1e-3 and frame.max() <= 1 + 1e-3):
            raise PictureError(
                f"{found} with values from {frame.min():g} to {frame.max():g}; expected [0,1]"
            )


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


def _to_float(frame: np.ndarray) -> np.ndarray:
    if frame.dtype.kind == "f":
        return np.clip(frame.astype(np.float32), 0, 1)
    return frame.astype(np.float32) / np.float32(np.iinfo(frame.dtype).max)


def _from_float(picture: np.ndarray, kind: np.dtype) -> np.ndarray:
    clipped: np.ndarray = np.clip(picture, 0, 1)
    if kind.kind == "f":
        return clipped.astype(kind, copy=False)
    codes: np.ndarray = np.rint(clipped * np.float32(np.iinfo(kind).max)).astype(kind)
    return codes
