"""One scene to measure: a network's frames, and the truth that its picture is compared with."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace

import numpy as np

from edgeexpo.imaging.arrays import Picture
from edgeexpo.progress import note

EXPOSURE_TRUTHS = ("middle frame", "middle exposure")
"""Kinds of truth that an interpolation network predicts before its back stage."""


@dataclass(frozen=True)
class Scene:
    """Frames and truth, all HxWx3 float32 of one size, sRGB-encoded, [0, 1].

    Attributes:
        name: Name of the folder, file or view, as in the rows of scenes.
        groups: Rows of the table in which the scene counts.
        frames: Frames that the network takes, in the order of its ``spec.frames``.
        truth: Picture that the network's picture is compared with, or ``None`` when unknown. It is
            linear radiance when ``truth_kind`` is ``radiance``.
        truth_kind: ``reference``, ``middle frame``, ``middle exposure``, ``photograph``,
            ``dense fusion``, ``radiance`` or ``none``.
        ev: log2 of the exposure ratio of the last and the first frame, or ``None`` when unknown.
        given: All frames that a method may use, darkest first.
        stack: Exposures for MEF-SSIM, the held-out frame included. Empty for single pictures.
        subject: Name that all scenes of one subject at different exposures share, so that a
            network's pictures of the subject can be compared. Empty when there is only one scene.
    """

    name: str
    groups: tuple[str, ...]
    frames: tuple[Picture, ...]
    truth: Picture | None
    truth_kind: str
    ev: float | None = None
    given: tuple[Picture, ...] = ()
    stack: tuple[Picture, ...] = ()
    subject: str = ""

    @property
    def wants_exposure(self) -> bool:
        """Whether the truth is the exposure half way between the frames."""
        return self.truth_kind in EXPOSURE_TRUTHS

    def with_noise(self, sigma: float) -> Scene:
        """Return the scene with Gaussian noise on its frames, rounded to 8 bits.

        The truth and the exposures for MEF-SSIM stay unchanged. The scene's name seeds the noise.

        Args:
            sigma: Standard deviation of the noise, in 8-bit codes.
        """
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))

        def noisy(frame: Picture) -> Picture:
            codes = frame * 255 + sigma * rng.standard_normal(frame.shape, np.float32)
            return np.asarray(np.rint(np.clip(codes, 0, 255)) / 255, np.float32)

        seen: dict[int, Picture] = {}
        for frame in (*self.frames, *self.given):
            if id(frame) not in seen:
                seen[id(frame)] = noisy(frame)
        frames = tuple(seen[id(f)] for f in self.frames)
        return replace(self, frames=frames, given=tuple(seen[id(f)] for f in self.given))


@dataclass
class Skipped:
    """A collector of files that cannot be used, which also names each file on stderr."""

    names: list[str] = field(default_factory=list)

    def __call__(self, name: str, reason: str) -> None:
        """Record the file ``name`` and write the reason on stderr."""
        self.names.append(name)
        note(f"edgeexpo: skipped: {reason}")
