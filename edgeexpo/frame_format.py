"""How the numbers of a camera's frame, or of a picture for a display, are to be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgeexpo.errors import UsageError

LAYOUTS = ("rgb", "bgr", "planar", "nv12", "nv21", "i420", "p010")

MATRICES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
)
"""Weights of red and blue in luma."""

SITINGS: Mapping[str, tuple[bool, bool]] = MappingProxyType(
    {"left": (False, True), "center": (False, False), "topleft": (True, True)}
)
"""Where a chroma sample lies: on a luma sample's row, on its column; else half way to the next."""

TRANSFERS = ("srgb", "pq", "hlg")


@dataclass(frozen=True)
class FrameFormat:
    """How the numbers of a frame are to be read.

    Attributes:
        layout: ``rgb`` and ``bgr`` are HxWx3, ``planar`` is 3xHxW (RGB): uint8, uint16, or float16
            and float32 in [0,1]. The others are 4:2:0, with even height and width: ``nv12`` (Y,
            then U and V in turn), ``nv21`` (V before U), ``i420`` (Y, U, V), ``p010`` (as nv12, ten
            bits in the upper bits of uint16).
        matrix: ``bt601``, ``bt709`` or ``bt2020``, for YUV.
        full_range: 0 to 255 for Y, U and V; else 16 to 235 and 16 to 240.
        siting: Where chroma samples lie: ``left`` (MPEG-2, H.264), ``center`` (JPEG) or
            ``topleft`` (BT.2020).
        rotation: Degrees clockwise that turn the frame upright: 0, 90, 180 or 270.
        mirror: The upright frame is mirrored left to right (front cameras).
        transfer: ``srgb``: encoded for an ordinary display, as networks know pictures. ``pq`` and
            ``hlg`` (ITU-R BT.2100, primaries of BT.2020) are for what a network gives as radiance.
        peak_nits: Luminance of radiance 1 in cd/m^2, for ``pq``.

    Raises:
        UsageError: An unknown name or angle, or too few bits for the transfer.
    """

    layout: str = "rgb"
    matrix: str = "bt709"
    full_range: bool = False
    siting: str = "left"
    rotation: int = 0
    mirror: bool = False
    transfer: str = "srgb"
    peak_nits: float = 1000.0

    def __post_init__(self) -> None:
        for name, allowed in (
            ("layout", LAYOUTS),
            ("matrix", tuple(MATRICES)),
            ("siting", tuple(SITINGS)),
            ("rotation", (0, 90, 180, 270)),
            ("transfer", TRANSFERS),
        ):
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"{name} of a frame is {getattr(self, name)!r}; "
                    f"expected {', '.join(map(str, allowed))}"
                )
        if not 0 < self.peak_nits <= 10_000:
            raise UsageError(f"peak_nits is {self.peak_nits}; expected above 0 and up to 10000")
        if self.is_hdr and self.is_yuv and (self.layout, self.matrix) != ("p010", "bt2020"):
            raise UsageError(
                f"{self.transfer} in {self.layout} with {self.matrix}; expected p010 with bt2020, "
                "or rgb of 16 bits or floats"
            )

    def __str__(self) -> str:
        """The words that :func:`parse_frame_format` takes, without those that say nothing of the
        layout."""
        words = [self.layout]
        if self.is_yuv:
            words += [self.matrix, "full" if self.full_range else "limited", self.siting]
        if self.rotation:
            words.append(f"rotate{self.rotation}")
        if self.mirror:
            words.append("mirror")
        if self.is_hdr:
            words.append(f"pq{self.peak_nits:.0f}" if self.transfer == "pq" else self.transfer)
        return ",".join(words)

    @property
    def is_yuv(self) -> bool:
        """True for 4:2:0 layouts."""
        return self.layout in ("nv12", "nv21", "i420", "p010")

    @property
    def is_hdr(self) -> bool:
        """True for the transfers of BT.2100."""
        return self.transfer in ("pq", "hlg")


def parse_frame_format(text: str) -> FrameFormat:
    """A format from words in any order, as in ``nv12,bt709,limited,left,rotate90,mirror``.

    ``full`` and ``limited`` are the range, a transfer may carry a peak (``pq1000``).

    Raises:
        UsageError: A word is unknown, or two contradict each other.
    """
    found: dict[str, object] = {}
    for word in text.split(","):
        for name, value in _fields(word.strip().lower()):
            if name in found:
                raise UsageError(f"frame format {text!r} gives its {name} twice; leave one out")
            found[name] = value
    return FrameFormat(**found)  # type: ignore[arg-type]


def _fields(word: str) -> list[tuple[str, object]]:
    for name, allowed in (
        ("layout", LAYOUTS),
        ("matrix", MATRICES),
        ("siting", SITINGS),
        ("transfer", TRANSFERS),
    ):
        if word in allowed:
            return [(name, word)]
    if word in ("full", "limited"):
        return [("full_range", word == "full")]
    if word == "mirror":
        return [("mirror", True)]
    if word.startswith("rotate") and word[6:].isdigit():
        return [("rotation", int(word[6:]))]
    if word.startswith("pq") and word[2:].isdigit():
        return [("transfer", "pq"), ("peak_nits", float(word[2:]))]
    raise UsageError(
        f"{word!r} is no part of a frame format; expected words of "
        f"{', '.join(LAYOUTS)}; {', '.join(MATRICES)}; full, limited; {', '.join(SITINGS)}; "
        "rotate90, rotate180, rotate270; mirror; pq, pq1000, hlg"
    )
