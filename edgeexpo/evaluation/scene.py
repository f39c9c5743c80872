"""One thing to measure: what a network is given, and what its picture is compared with."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace

import numpy as np

from edgeexpo.imaging.arrays import Picture
from edgeexpo.progress import note

EXPOSURE_TRUTHS = ("middle frame", "middle exposure")
"""Truths that an interpolation network predicts before its back stage."""


@dataclass(frozen=True)
class Scene:
    """Frames and truth, all HxWx3 float32 of one size, sRGB-encoded, [0, 1].

    Attributes:
        name: Folder, file or view, as in the rows of scenes.
        groups: Rows of the table that it counts in.
        frames: What the network is given, in the order of its ``spec.frames``.
        truth: What its picture is compared with; linear radiance when ``truth_kind`` is
            ``radiance``; ``None`` when nothing is known.
        truth_kind: ``reference``, ``middle frame``, ``middle exposure``, ``photograph``,
            ``dense fusion``, ``radiance`` or ``none``.
        ev: log2 of the exposure ratio of the last and the first frame; ``None`` when unknown.
        given: Every frame that a method may use, darkest first.
        stack: The exposures for MEF-SSIM, the held-out one included; empty for single pictures.
        subject: What several scenes show at different exposures, so that a network's pictures of
            it can be compared with each other; empty when only this scene shows it.
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
        """True when the truth is the exposure half way between the frames."""
        return self.truth_kind in EXPOSURE_TRUTHS

    def with_noise(self, sigma: float) -> Scene:
        """The same with Gaussian noise of ``sigma`` 8-bit codes on the frames, rounded to 8 bits.

        The truth and the exposures for MEF-SSIM stay clean; the scene's name seeds the noise.
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
    """Files that could not be used, counted and named on stderr as they are met."""

    names: list[str] = field(default_factory=list)

    def __call__(self, name: str, reason: str) -> None:
        """Record ``name`` and say why it is skipped."""
        self.names.append(name)
        note(f"edgeexpo: skipped: {reason}")
